"""The sweep file: its command runs with values as W&B's agent fills them in."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from tests.cli.test_fit import wandb_records

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SWEEP = ROOT / "configs" / "sweep" / "digits.yaml"


def values(sweep: dict[str, Any]) -> dict[str, Any]:
    """One value of each parameter, from within its range."""
    return {
        name: one["values"][0] if "values" in one else 0.75 * one["min"] + 0.25 * one["max"]
        for name, one in sweep["parameters"].items()
    }


def command(sweep: dict[str, Any], chosen: dict[str, Any]) -> list[str]:
    """The words as the agent makes them, with this interpreter's program."""
    made = create_sweep_command_args({"args": {k: {"value": v} for k, v in chosen.items()}})
    macros = {"${env}": [], "${args_no_hyphens}": made["args_no_hyphens"]}
    parts = create_sweep_command(sweep["command"])
    words = [word for part in parts for word in macros.get(part, [part])]
    assert words[0] == sweep["program"] == "lightning"
    return [sys.executable, "-m", "lit_intriguing", *words[1:]]


def run(words: list[str], folder: Path) -> str:
    """Runs a command without W&B's server and returns what it prints."""
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_of_the_sweep_logs_what_the_sweep_minimises(tmp_path: Path) -> None:
    sweep = yaml.safe_load(SWEEP.read_text())
    words = command(sweep, values(sweep))
    run([*words, "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"], tmp_path)
    (file,) = tmp_path.rglob("run-*.wandb")
    keys = {
        item.key or "/".join(item.nested_key)
        for record in wandb_records(file)
        for item in record.history.item  # type: ignore[attr-defined]
    }
    assert sweep["metric"]["name"] in keys
    assert "test/error" not in keys


def test_each_parameter_of_the_sweep_reaches_its_option(tmp_path: Path) -> None:
    sweep = yaml.safe_load(SWEEP.read_text())
    chosen = values(sweep)
    config = yaml.safe_load(run([*command(sweep, chosen), "--print_config"], tmp_path))
    (training,) = (
        one["init_args"]
        for one in config["trainer"]["callbacks"]
        if one["class_path"].endswith("AdversarialTraining")
    )
    layers = training["layers"]
    address = "AdversarialTraining.layers"
    found = {
        f"{address}.{name}.attack.eps": layers[name]["attack"]["init_args"]["eps"]
        for name in ("", "hidden1", "hidden2")
    }
    found[f"{address}..mix"] = layers[""]["mix"]
    found["model.optimizer.lr"] = config["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    assert found == pytest.approx(chosen)
    assert config["data"]["init_args"]["validation"] == 180
