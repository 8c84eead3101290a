"""One callback does not load the others, nor what they need."""

import functools
import importlib
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lit_intriguing import attacks, callbacks
from lit_intriguing.configuration import class_paths

ROOT = Path(__file__).parents[2]
HEAVY = ("jsonargparse", "matplotlib", "torchvision", "PIL", "wandb")
ROOMS = ("figures", "commands", "cli", "configuration", "lipschitz")


@functools.cache
def loaded_by(statement: str) -> list[str]:
    """The modules that a statement loads beyond those of `import lightning.pytorch`."""
    code = (
        "import sys, lightning.pytorch\nbefore = set(sys.modules)\n"
        f"{statement}\nprint('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.stdout.split()


@pytest.mark.integration
def test_adversarial_training_loads_few_modules_and_nothing_heavy() -> None:
    loaded = loaded_by("from lit_intriguing.callbacks import AdversarialTraining")
    ours = [name for name in loaded if name.startswith("lit_intriguing.")]
    assert len(ours) < 76, ours
    assert not [name for name in ours if name.split(".")[1] in ROOMS]
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


@pytest.mark.integration
def test_bare_class_names_are_known_after_all_rooms_are_brought_in() -> None:
    code = (
        "from lit_intriguing.configuration import class_paths; class_paths.bring_in(); "
        "assert class_paths.locate('AdversarialExamples').__name__ == 'AdversarialExamples'"
    )
    loaded = loaded_by(code)
    for room in class_paths.ROOMS:
        package = importlib.import_module(f"lit_intriguing.{room}")
        homes = {inspect.getmodule(getattr(package, name)) for name in package.__all__}
        assert {home.__name__ for home in homes if home is not None} <= set(loaded)


def test_all_names_are_there_listed_and_of_their_files() -> None:
    assert set(callbacks.__all__) == set(callbacks._FILES) <= set(dir(callbacks))
    for name in callbacks.__all__:
        found = getattr(callbacks, name)
        assert found.__name__ == name
        assert pickle.loads(pickle.dumps(found)) is found


@pytest.mark.integration
def test_searches_and_adapters_load_when_used() -> None:
    loaded = loaded_by("from lit_intriguing.callbacks import AdversarialTraining")
    assert not [name for name in loaded if "adapters" in name or "solvers" in name]
    assert set(attacks._LATER) <= set(attacks.__all__) <= set(dir(attacks))
    for name in attacks._LATER:
        found = getattr(attacks, name)
        assert issubclass(found, (attacks.Attack, attacks.Goal)) or found is attacks.Outcome
        assert pickle.loads(pickle.dumps(found)) is found


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match=r"'lit_intriguing\.callbacks' has no attribute 'X'"):
        callbacks.X  # noqa: B018
    assert not hasattr(callbacks, "Adversarial")
    assert not hasattr(attacks, "Foolbax")
