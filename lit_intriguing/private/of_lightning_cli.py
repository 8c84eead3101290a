"""Private names of Lightning's command line, one function for each.

`lit_intriguing.cli.program` overrides three private methods of `LightningCLI`, which offers no
other place to act there. Where such a method moves, nobody calls ours any more, and no error says
so: for each, a function here says whether Lightning still has it as expected.
"""

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Checkpoint
    from lightning.pytorch.cli import LightningCLI


def reads_checkpoints(cli: "type[LightningCLI]") -> bool:
    """Say whether `_parse_ckpt_path` takes a model's options out of a checkpoint."""
    return _calls(cli, "_parse_ckpt_path", [], by="__init__")


def makes_the_trainer(cli: "type[LightningCLI]") -> bool:
    """Say whether `_instantiate_trainer` makes the Trainer of its options and callbacks."""
    return _calls(cli, "_instantiate_trainer", ["config", "callbacks"], by="instantiate_trainer")


def runs_the_subcommand(cli: "type[LightningCLI]") -> bool:
    """Say whether `_run_subcommand` runs the Trainer's method, and what stands around it."""
    return _calls(cli, "_run_subcommand", ["subcommand"], by="__init__")


def newest_path(callback: "Checkpoint") -> str:
    """Return the path of the checkpoint written last (`_last_checkpoint_saved`), or nothing.

    It is neither the best one nor `last.ckpt` where it was written for an exception.
    """
    return str(getattr(callback, "_last_checkpoint_saved", ""))


def _calls(cli: "type[LightningCLI]", name: str, parameters: list[str], by: str) -> bool:
    """Say whether a method with these parameters is there, and called by another one."""
    method = getattr(cli, name, None)
    if method is None or list(inspect.signature(method).parameters) != ["self", *parameters]:
        return False
    return f"self.{name}(" in inspect.getsource(getattr(cli, by))
