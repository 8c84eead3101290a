"""What is asked for: an attack, its goal, the rows, and where the examples go."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.attacks import Attack, BoxLBFGS, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.errors import UserError
from lit_intriguing.splice import INPUT, submodule
from lit_intriguing.splits.fingerprint import class_name, described, of_model
from lit_intriguing.splits.split import Split
from lit_intriguing.types import Bounds

Format = Literal["pt", "npz"]


def default_attack() -> Attack:
    """The attack where none is named."""
    return BoxLBFGS()


@dataclass(frozen=True)
class AttackJob:
    """The options of `lightning attack`; see `lit_intriguing.trainer.Trainer.attack`."""

    attack: Attack = field(default_factory=default_attack)
    goal: Goal = field(default_factory=RandomTargets)
    bounds: Bounds | None = None
    layer: str = INPUT
    split: Split = "test"
    limit: int | None = None
    only_correct: bool = True
    chunk: int = CHUNK
    output: Path = Path("attack")
    format: Format = "pt"
    seed: int = 0

    def check(self, model: LightningModule) -> None:
        """Refuses what can be told to be wrong before anything starts.

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
        """What the examples depend on, as plain values.

        Args:
            model: With its weights loaded.
            source: Where the rows come from.
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
