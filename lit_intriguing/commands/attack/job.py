"""What is asked for: the options of `lightning attack`, with their defaults."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.attacks import Attack, BoxLBFGS, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.errors import UserError
from lit_intriguing.splice import submodule
from lit_intriguing.splits.fingerprint import class_name, described, of_model
from lit_intriguing.types import Bounds

if TYPE_CHECKING:
    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split

Format = Literal["pt", "npz"]


def default_attack() -> Attack:
    """Return the attack where none is given."""
    return BoxLBFGS()


@dataclass(frozen=True, kw_only=True)
class AttackJob:
    """What `lightning attack` is to do; see `AttackTrainer` for the options."""

    attack: Attack
    goal: Goal
    bounds: Bounds | None
    layer: str
    split: "Split"
    limit: int | None
    only_correct: bool
    chunk: int
    output: Path
    format: Format
    seed: int

    def check(self, model: LightningModule) -> None:
        """Refuse what is known to be wrong before anything starts.

        Raises:
            UserError: A number out of range, a model without `forward`, or a layer that the model
                does not have.
        """
        for name in ("limit", "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}.")
        if self.seed < 0:
            raise UserError(f"seed must not be negative: {self.seed}.")
        if self.output.exists() and not self.output.is_dir():
            raise UserError(f"the output {self.output} is a file: name a folder.")
        if not is_overridden("forward", model):
            raise UserError(
                f"{type(model).__name__} has no forward: an attack needs logits (N, C) from "
                "model(images)."
            )
        if not is_overridden("configure_model", model):  # else its layers come later
            submodule(model, self.layer)

    def settings(
        self, model: LightningModule, source: LightningDataModule | LightningModule
    ) -> dict[str, Any]:
        """Return what the examples depend on, as plain values.

        Args:
            model: With its weights loaded.
            source: Where the images come from.
        """
        return {
            "model": of_model(model),
            "data": class_name(source),
            **{
                name: described(getattr(self, name))
                for name in (
                    "attack", "goal", "bounds", "layer", "split", "limit", "only_correct",
                    "chunk", "seed", "format",
                )
            },
        }  # fmt: skip


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
