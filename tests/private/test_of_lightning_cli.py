"""The private parts of Lightning's command line: what a user sees of each, where it fails."""

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI

from lit_intriguing.private import of_lightning_cli


class Renamed:
    """Lightning's command line after a release that renamed or changed everything private."""

    def __init__(self):
        self._read_checkpoint()

    def _run_subcommand(self):
        """Without the subcommand."""

    def _instantiate_trainer(self, config, callbacks):
        """As before, but called by nobody."""

    def instantiate_trainer(self):
        """Does it by itself."""


METHODS = {
    of_lightning_cli.reads_checkpoints: (
        "`--ckpt_path` reads the model's options out of a checkpoint by `_parse_ckpt_path`, and "
        "refuses a file of weights alone in one line there"
    ),
    of_lightning_cli.makes_the_trainer: (
        "the progress bar over the whole run, the CSV logger, `lightning lipschitz` on one "
        "process and the message about two callbacks of one class hang on `_instantiate_trainer`"
    ),
    of_lightning_cli.runs_the_subcommand: (
        "the line after Ctrl-C, with the checkpoint to go on from, hangs on `_run_subcommand`"
    ),
}


@pytest.mark.parametrize("check", METHODS, ids=lambda check: check.__name__)
def test_lightnings_command_line_has_the_method_that_is_overridden(check):
    assert check(LightningCLI), METHODS[check]
    assert not check(Renamed)


def test_the_checkpoint_written_last_is_known(tmp_path):
    callback = ModelCheckpoint(dirpath=tmp_path)
    assert hasattr(callback, "_last_checkpoint_saved"), (
        "the line after Ctrl-C names the newest checkpoint by this"
    )
    callback._last_checkpoint_saved = str(tmp_path / "exception.ckpt")
    assert of_lightning_cli.newest_path(callback) == str(tmp_path / "exception.ckpt")
    assert of_lightning_cli.newest_path(object()) == ""
