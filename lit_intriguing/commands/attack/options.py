"""The options of `lightning attack`, with their defaults: the only list of them."""

from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack.job import AttackJob, default_attack
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.types import Bounds


class AttackTrainer(Trainer):
    """A Trainer with the method `attack`, whose parameters are the command's options."""

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
        """Attack each image of a split, save the examples, and report how it went.

        The examples do not depend on the number of processes or on the data's batch size. Run
        again, the same command goes on after the last finished chunk.

        Args:
            model: Whose `forward` gives logits (N, C).
            datamodule: Gives batches (images, labels); where null, the model does.
            attack: The search: the class path of an attack (null: BoxLBFGS).
            goal: What it is to reach (null: RandomTargets, the paper's).
            bounds: Of what is attacked, lower and upper (null: [0, 1] for images, none for layers).
            layer: Name of the submodule whose output is attacked; empty for the images.
            split: Which images, in the data set's own order.
            limit: Take no more images than that.
            only_correct: Leave images alone that the model misclassifies anyway.
            chunk: Images attacked, and written, at once; fewer need less memory.
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
            attack=attack or default_attack(),
            goal=goal or RandomTargets(),
            bounds=bounds,
            layer=layer,
            split=split,
            limit=limit,
            only_correct=only_correct,
            chunk=chunk,
            output=Path(output),
            format=format,
            seed=seed,
        )
        return attack_split(self, model, datamodule, job, ckpt_path, weights_only)
