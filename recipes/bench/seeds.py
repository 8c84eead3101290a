"""Train a recipe with several seeds, each by its own command, and keep the test errors.

From the root of a checkout: python recipes/bench/seeds.py adv_mnist --seeds 30 31 32

Runs `lightning fit --config recipes/NAME.yaml --seed_everything N` for each seed and adds its test
error, CPU seconds and date to recipes/results/NAME.json, which recipes/bench/verdicts.py reads. A
seed that is in the file is left out, so that a study goes on where it was stopped. Options behind
`--` go to each command and stand in the file; --variant names its file NAME_VARIANT.json.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from threading import Lock
from typing import Any

from lit_intriguing.whole_files import write_json

RESULTS = Path("recipes/results")
ERROR = re.compile(r"^test error ([\d.]+)%", re.M)
Study = dict[str, Any]


def arguments(words: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what stands behind `--` is returned as it is."""
    words = sys.argv[1:] if words is None else words
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", help="name, such as adv_mnist")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--variant", default="", help="behind the file's name")
    return parser.parse_args(words[:cut]), words[cut + 1 :]


def command_of(recipe: str, options: list[str]) -> str:
    """Return the command of a run, with N for its seed."""
    words = ["lightning fit --config", f"recipes/{recipe}.yaml", "--seed_everything N", *options]
    return " ".join(words)


def stored(path: Path, command: str) -> Study:
    """Read a study that was begun before, or begin one."""
    if not path.exists():
        return {"command": command, "runs": []}
    study: Study = json.loads(path.read_text())
    if study["command"] != command:
        sys.exit(f"{path} is of another command, {study['command']}: give another --variant")
    return study


def run(recipe: str, seed: int, options: list[str]) -> dict[str, Any]:
    """Train once, in a folder that is thrown away, and return what is kept of the run."""
    root = Path.cwd()
    words = ["fit", "--config", str(root / "recipes" / f"{recipe}.yaml"), *options]
    words += ["--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lit_intriguing", *words],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    found = ERROR.findall(text)
    if process.returncode or not found:
        sys.exit(f"seed {seed} ended with no test error:\n{text[-2000:]}")
    return {
        "seed": seed,
        "test_error": float(found[-1]),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime),
        "date": datetime.date.today().isoformat(),
    }


def main(words: list[str] | None = None) -> None:
    """Run what is missing and print the errors with their mean."""
    given, options = arguments(words)
    path = RESULTS / ("_".join(filter(None, [given.recipe, given.variant])) + ".json")
    study = stored(path, command_of(given.recipe, options))
    missing = [seed for seed in given.seeds if seed not in {r["seed"] for r in study["runs"]}]
    lock = Lock()

    def one(seed: int) -> None:
        result = run(given.recipe, seed, options)
        with lock:
            study["runs"] = sorted([*study["runs"], result], key=lambda r: int(r["seed"]))
            write_json(path, study)
            print(f"seed {seed}: {result['test_error']:.2f}%", flush=True)

    with ThreadPoolExecutor(given.workers) as pool:
        list(pool.map(one, missing))
    errors = [float(one["test_error"]) for one in study["runs"]]
    spread = f", sd {stdev(errors):.2f}" if len(errors) > 1 else ""
    print(f"{len(errors)} seeds: mean {mean(errors):.3f}%{spread}, {min(errors)} to {max(errors)}")


if __name__ == "__main__":
    main()
