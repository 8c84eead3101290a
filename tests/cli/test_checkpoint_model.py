"""A command without a model takes that of its checkpoint."""

from pathlib import Path

import pytest
import torch
import yaml

from lit_intriguing.cli.checkpoint_model import with_model_of_checkpoint
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from lit_intriguing.models.described import checkpoint_of

MODEL = {"class_path": "lit_intriguing.models.classifier.Classifier", "widths": [5, 3]}


class Own:
    """What a callback of the user's own may save in a checkpoint."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint with an object that is no plain value."""
    file = tmp_path / "own.ckpt"
    torch.save({**checkpoint_of(Classifier((5, 3))), "own": Own()}, file)
    return file


def model_of(words: list[str]) -> dict[str, object]:
    """The class and the widths of the model that was put into a command."""
    command, option, text, *_ = words
    assert (command, option) == ("attack", "--config")
    model = yaml.safe_load(text)["model"]
    return {"class_path": model["class_path"], "widths": model["init_args"]["widths"]}


def test_a_checkpoint_with_own_objects_is_refused_with_the_way_out(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="--weights_only=false reads it"):
        with_model_of_checkpoint(["attack", f"--ckpt_path={checkpoint}"])


@pytest.mark.parametrize("words", [["--weights_only=false"], ["--weights_only", "False"]])
def test_a_checkpoint_that_is_trusted_is_read_for_its_model(
    words: list[str], checkpoint: Path
) -> None:
    given = ["attack", f"--ckpt_path={checkpoint}", *words]
    found = with_model_of_checkpoint(given)
    assert model_of(found) == MODEL
    assert found[3:] == given[1:]


def test_a_file_may_say_that_the_checkpoint_is_trusted(checkpoint: Path, tmp_path: Path) -> None:
    options = {"ckpt_path": str(checkpoint), "weights_only": False}
    file = tmp_path / "trusted.yaml"
    file.write_text(yaml.safe_dump(options))
    assert model_of(with_model_of_checkpoint(["attack", "--config", str(file)])) == MODEL
