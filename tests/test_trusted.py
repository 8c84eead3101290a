"""A configuration may name what it likes, unless an environment variable restricts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_intriguing.attacks import FromCallable
from lit_intriguing.configuration import class_paths, shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.trusted import VARIABLE, check_trusted

ROOT = Path(__file__).parents[1]


def class_paths_in(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["class_path"]} if isinstance(value.get("class_path"), str) else set()
        return own.union(*map(class_paths_in, value.values()))
    return set().union(*map(class_paths_in, value)) if isinstance(value, list) else set()


def test_anything_may_be_named_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    check_trusted("tests.tiny.Tiny")
    monkeypatch.setenv(VARIABLE, "0")
    check_trusted("tests.tiny.Tiny")


def test_all_shipped_configurations_are_trusted_but_for_other_libraries_attacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    found = set()
    for name in shipped.names():
        found |= class_paths_in(yaml.safe_load((shipped.root() / name).read_text()))
    dotted = {path for path in found if "." in path}
    assert len(dotted) > 20
    for path in dotted:
        check_trusted(path)


@pytest.mark.parametrize(
    "path",
    [
        "os.system", "subprocess.Popen", "builtins.eval", "torch.load", "torch.hub.load",
        "torch.utils.cpp_extension.load", "torch.jit.load", "torch.package.PackageImporter",
        "lightning.pytorch.cli.LightningCLI", "lit_intriguing.lookup.look_up", "tests.tiny.Tiny",
        "lit_intriguing.models_of_others.X", "numpy.load",
    ],
)  # fmt: skip
def test_what_runs_code_or_is_of_others_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(UsageError, match=f"'{path}' is not trusted"):
        check_trusted(path)
    with pytest.raises(UsageError, match="is not trusted"):
        class_paths.locate(path)


THROUGH_TRUSTED_MODULES = [
    "lightning.pytorch.strategies.launchers.subprocess_script.subprocess.Popen",
    "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree",
    "torch.nn.functional.torch.hub.load",
    "torch.nn.functional.importlib.import_module",
    "lit_intriguing.models.autoencoder.torch.load",
    "torch.nn.modules.module.functools.partial",
]


@pytest.mark.parametrize("path", THROUGH_TRUSTED_MODULES)
def test_what_a_trusted_module_has_imported_is_not_trusted_for_that(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    for find in (class_paths.locate, FromCallable):
        with pytest.raises(UsageError, match=r"is not trusted|has no "):
            find(path)


@pytest.mark.parametrize(
    "path",
    ["subprocess.Popen", "os.system", "lit_intriguing.trusted.os.system", "pickle.loads",
     *THROUGH_TRUSTED_MODULES[:1]],
)  # fmt: skip
def test_what_runs_programs_is_refused_by_where_it_is_defined(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for find in (class_paths.locate, FromCallable):
        with pytest.raises(UsageError, match="runs programs or other code"):
            find(path)


def test_trusted_classes_are_found_where_they_are_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    for path in (
        "torch.nn.ReLU", "torch.optim.Adam", "torch.optim.lr_scheduler.CosineAnnealingLR",
        "torchvision.models.resnet18", "torchvision.transforms.v2.ColorJitter",
        "lightning.pytorch.callbacks.ModelCheckpoint", "lightning.pytorch.loggers.CSVLogger",
        "lit_intriguing.attacks.BoxLBFGS", "lit_intriguing.models.efficientnet_lite0",
    ):  # fmt: skip
        class_paths.locate(path)


def test_the_advice_is_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(UsageError) as refused:
        check_trusted("tests.tiny.Tiny")
    monkeypatch.setenv(*str(refused.value).rsplit(" ", 1)[1].split("="))
    check_trusted("tests.tiny.Tiny")
    check_trusted("torch.nn.ReLU")
    monkeypatch.setenv(VARIABLE, "a b")
    with pytest.raises(UsageError, match="'a b' is no package"):
        check_trusted("torch.nn.ReLU")


def test_an_attack_of_another_library_is_one_of_these_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(UsageError, match=r"'os\.system' is not trusted"):
        FromCallable("os.system")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    there = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", **environment}
    command = [sys.executable, "-m", "lit_intriguing", "fit", *arguments]
    return subprocess.run(
        command, cwd=folder, env=there, capture_output=True, text=True, check=False
    )


EVIL = "from pathlib import Path\nPath('was_here').touch()\nclass Model: ...\n"


@pytest.mark.integration
def test_the_command_line_imports_nothing_that_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "of_others.py").write_text(EVIL)
    config = tmp_path / "run.yaml"
    for path in ("of_others", "of_others.Model"):
        config.write_text(yaml.safe_dump({"model": {"class_path": path}}))
        refused = run(tmp_path, "--config=run.yaml", **{VARIABLE: "1"})
        assert refused.returncode == 2, refused.stderr
        assert not (tmp_path / "was_here").exists()
        assert "Traceback" not in refused.stderr
    assert f"{VARIABLE}=of_others" in refused.stderr
    config.write_text(yaml.safe_dump({"model": {"class_path": "of_others.Model"}}))
    run(tmp_path, "--config=run.yaml", **{VARIABLE: "of_others"})
    assert (tmp_path / "was_here").exists()


@pytest.mark.integration
def test_a_recipe_runs_with_trusted_classes_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "--config=adv_digits", "--trainer.max_epochs=1", **{VARIABLE: "1"})
    assert done.returncode == 0, done.stderr
    assert "test error" in done.stdout


@pytest.mark.integration
def test_what_runs_programs_is_refused_without_a_switch(tmp_path: Path) -> None:
    model = '--model={"class_path": "os.system", "init_args": {"command": "touch was_here"}}'
    refused = run(tmp_path, model)
    assert refused.returncode == 2, refused.stderr
    assert "Traceback" not in refused.stderr
    assert "posix.system, which runs programs or other code" in refused.stderr
    assert not (tmp_path / "was_here").exists()
