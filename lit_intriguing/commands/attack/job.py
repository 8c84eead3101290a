"""What is asked for: an attack, its goal, the images, and where the examples go."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.attacks import Attack, BoxLBFGS, Goal
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
    """What `lightning attack` is to do; see `options.py` for the options."""

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
