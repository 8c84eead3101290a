"""The Trainer of the command line: Lightning's, with a method for each further subcommand."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse.typing import NonNegativeFloat, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch import Trainer as _Trainer

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack import AttackJob
from lit_intriguing.commands.attack.job import default_attack
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.commands.lipschitz import BoundJob
from lit_intriguing.types import Bounds

if TYPE_CHECKING:
    from lit_intriguing.commands.lipschitz.output import Result


class Trainer(_Trainer):
    """Lightning's Trainer; each subcommand of the command line is a method of this class.

    To add one that works on a model, write its work in a room below, a method here that calls
    it, with a docstring whose first line is its help, and a line in `TRAINER_SUBCOMMANDS` of
    `lit_intriguing.cli.subcommands`. The method takes `model` and `datamodule`, which the
    program fills in, and whatever further parameters shall become options. A subcommand of
    several runs has its own options and needs a line in `STUDIES` there instead.
    """

    def attack(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        attack: Attack | None = None,
        goal: Goal | None = None,
        bounds: Bounds | None = None,
        layer: str = "",
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        only_correct: bool = True,
        chunk: int = CHUNK,
        output: str = "attack",
        format: Literal["pt", "npz"] = "pt",
        seed: int = 0,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> Summary:
        """Attack each row of a split, keep the examples, and say how it went.

        The examples do not depend on the number of processes or on the data's batch size. Run
        again, the same command goes on after the last finished chunk.

        Args:
            model: Whose `forward` gives logits (N, C).
            datamodule: Gives batches (images, labels); where null, the model does.
            attack: The search: the class path of an attack (null: BoxLBFGS).
            goal: What it is to reach (null: RandomTargets, the paper's).
            bounds: Of what is attacked, lower and upper (null: [0, 1] for images, none for layers).
            layer: Name of the submodule whose output is attacked; empty for the images.
            split: Which rows, in the data set's own order.
            limit: Take no more rows than that.
            only_correct: Leave rows alone that the model gets wrong anyway.
            chunk: Rows attacked, and written, at once; fewer need less memory.
            output: Folder for examples, summary and figure.
            format: Of the examples.
            seed: Of targets and attack.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            The summary, which is printed as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        # Here, so that callbacks and data of its own are not offered in every `--help`.
        from lit_intriguing.commands.attack.command import attack_split

        job = AttackJob(
            attack or default_attack(), goal or RandomTargets(), bounds, layer, split, limit,
            only_correct, chunk, Path(output), format, seed,
        )  # fmt: skip
        return attack_split(self, model, datamodule, job, ckpt_path, weights_only)

    def lipschitz(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        input_shape: list[PositiveInt] | None = None,
        layers: list[str] | None = None,
        paper_values: dict[str, float] | None = None,
        method: Literal["certified", "probable"] = "certified",
        radii: list[NonNegativeFloat] | None = None,
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        output: str = "lipschitz",
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> "Result":
        """Bound the Lipschitz constants (L2) of each layer and of the whole network.

        Runs on one process, on the CPU, whatever the Trainer's options say.

        Args:
            model: Whose `forward` is bounded, in evaluation mode.
            datamodule: Gives batches (images, labels); where null, the model does.
            input_shape: Of one example, without the batch (null: that of the data's first).
            layers: Names of the layers to show (null: all whose constant is not 1).
            paper_values: The paper's value of layers, by their names, shown beside.
            method: How: certified, or probable, which is tighter for convolutions on small images
                and too low with a probability of 1e-9 for each of them.
            radii: L2 radii within which the share of answers that cannot change is certified.
            split: Whose rows are certified.
            limit: Certify no more rows than that.
            output: Folder for table, figure and summary.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            The bounds, which are printed as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        from lit_intriguing.commands.lipschitz.command import bound_network

        job = BoundJob(
            None if input_shape is None else tuple(input_shape), layers or (), paper_values or {},
            radii or (), split, limit, Path(output), method,
        )  # fmt: skip
        return bound_network(self, model, datamodule, job, ckpt_path, weights_only)
