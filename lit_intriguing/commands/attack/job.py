"""What is asked for: an attack, its goal, the images, and where the examples go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lit_intriguing.attacks import Attack, BoxLBFGS, Goal, Survives
from lit_intriguing.errors import UserError
from lit_intriguing.splice import INPUT, submodule
from lit_intriguing.splits.asked import check_asked
from lit_intriguing.splits.fingerprint import described_job
from lit_intriguing.types import Bounds

if TYPE_CHECKING:
    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split

Format = Literal["pt", "npz"]


def default_attack() -> Attack:
    """Return the attack where none is given."""
    return BoxLBFGS()


def chosen_attack(attack: Attack | None, survives: int | None, layer: str) -> Attack:
    """Return the attack that is asked for.

    Args:
        attack: The search; None for `BoxLBFGS`.
        survives: Bits in which its examples are to survive; None for no such wish.
        layer: What is attacked.

    Raises:
        UserError: No such number of bits, or a hidden layer, which no picture file holds.
    """
    attack = attack or default_attack()
    if survives is None:
        return attack
    if layer != INPUT:
        raise UserError(
            f"survives is for images, and layer {layer!r} is attacked: leave one of them out."
        )
    try:
        return Survives(attack, survives)
    except ValueError as error:
        raise UserError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How examples of images are drawn and saved; see `options.py` for the options.

    They say nothing of the examples themselves: a finished attack is drawn again with others.
    """

    show: int | None = None
    difference: bool | None = None
    class_names: str | None = None
    png: bool = False
    paper_distortion: float | None = None

    def check(self) -> None:
        """Refuse what is known to be wrong before anything starts.

        Raises:
            UserError: A number out of range, or a file of names that cannot be read.
        """
        if self.show is not None and self.show < 0:
            raise UserError(f"show must not be negative: {self.show}.")
        self.names(None)

    def names(self, of_data: Sequence[str] | None) -> Sequence[str] | None:
        """Return the names of classes that were asked for, else those of the data."""
        # Here, as in `options.py`: the data modules of that room are not the user's choices.
        from lit_intriguing.data.class_names import class_names

        return of_data if self.class_names is None else class_names(self.class_names)


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
    pictures: Pictures
    watch: int

    def check(self, model: LightningModule) -> None:
        """Refuse what is known to be wrong before anything starts.

        Raises:
            UserError: A number out of range, a model without `forward`, or a layer that the model
                does not have.
        """
        check_asked(
            model, self.output,
            limit=self.limit, chunk=self.chunk, seed=self.seed, watch=self.watch,
        )  # fmt: skip
        self.pictures.check()
        if self.pictures.png and self.layer != INPUT:
            raise UserError(
                f"png saves images, and layer {self.layer!r} is attacked: leave one of them out."
            )
        if not is_overridden("configure_model", model):  # else its layers come later
            submodule(model, self.layer)

    def check_images(self, images: Tensor) -> None:
        """Refuse images that cannot be saved as pictures, where that is asked for.

        Args:
            images: `(n, *S)`, a chunk.

        Raises:
            UserError: They have no shape of images, or their bounds are infinite.
        """
        if not self.pictures.png:
            return
        from lit_intriguing.figures.examples import drawn_as_images

        if not drawn_as_images(images.shape):
            raise UserError(
                f"png: examples of shape {tuple(images.shape[1:])} are not saved as pictures: "
                "leave it out."
            )
        limits = (self.bounds or Bounds()).tensors_like(images)
        if not all(bool(limit.isfinite().all()) for limit in limits):
            raise UserError("png needs finite bounds: black and white of a picture.")

    def settings(
        self, model: LightningModule, source: LightningDataModule | LightningModule
    ) -> dict[str, Any]:
        """Return what the examples depend on, as plain values.

        Args:
            model: With its weights loaded.
            source: Where the images come from.
        """
        names = (
            "attack", "goal", "bounds", "layer", "split", "limit", "only_correct", "chunk", "seed",
            "format",
        )  # fmt: skip
        return described_job(self, model, source, names)
