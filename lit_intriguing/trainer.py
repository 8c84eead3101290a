"""The Trainer of the command line: Lightning's, with a method for each further subcommand."""

from lightning.pytorch import Trainer as _Trainer


class Trainer(_Trainer):
    """Lightning's Trainer; each subcommand of the command line is a method of this class.

    To add one that works on a model, write its work in a room below, a method here that calls
    it, with a docstring whose first line is its help, and a line in `TRAINER_SUBCOMMANDS` of
    `lit_intriguing.command.subcommands`. The method takes `model` and `datamodule`, which the
    program fills in, and whatever further parameters shall become options. A subcommand of
    several runs has its own options and needs a line in `STUDIES` there instead.
    """
