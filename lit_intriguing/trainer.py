"""The Trainer of the command line: Lightning's, with a method for each further subcommand."""

from lit_intriguing.commands.attack.options import AttackTrainer
from lit_intriguing.commands.evaluate.options import EvaluateTrainer
from lit_intriguing.commands.lipschitz.options import LipschitzTrainer
from lit_intriguing.commands.units.options import UnitTrainer


class Trainer(AttackTrainer, EvaluateTrainer, LipschitzTrainer, UnitTrainer):
    """Lightning's Trainer; each subcommand of the command line is a method of this class.

    To add one that works on a model, make a room in `lit_intriguing.commands` with a file
    `options.py`: a Trainer with one method, whose docstring's first line is the subcommand's help.
    The method takes `model` and `datamodule`, which the program fills in, and whatever further
    parameters shall become options. Add that Trainer to the bases here, and a line to
    `TRAINER_SUBCOMMANDS` of `lit_intriguing.cli.subcommands`. A subcommand of several runs has its
    own options and needs a line in `STUDIES` there instead.
    """
