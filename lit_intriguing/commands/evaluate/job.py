"""What is asked for: attacks, sizes, the images, and where the results go."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule, LightningModule

from lit_intriguing.attacks import Attack
from lit_intriguing.errors import UserError
from lit_intriguing.robustness.plan import Planned, plan
from lit_intriguing.robustness.sizes import Sizes
from lit_intriguing.splits.asked import check_asked
from lit_intriguing.splits.fingerprint import described, described_job
from lit_intriguing.types import Bounds

if TYPE_CHECKING:
    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """What `lightning evaluate` is to do; see `options.py` for the options."""

    attacks: Mapping[str, Attack]
    sizes: Sizes
    bounds: Bounds
    shared: bool
    certify: bool | None
    split: "Split"
    limit: int | None
    chunk: int
    sanity: int
    output: Path
    seed: int

    def check(self, model: LightningModule) -> None:
        """Refuse what is known to be wrong before anything starts.

        Raises:
            UserError: A number out of range, or a model without `forward`.
        """
        check_asked(model, self.output, limit=self.limit, chunk=self.chunk, seed=self.seed)
        if self.sanity < 0:
            raise UserError(f"sanity is a number of images, 0 for no checks, not {self.sanity}")

    def runs(self) -> list[Planned]:
        """Return which attacks run at which sizes.

        Raises:
            ValueError: They do not fit together.
        """
        return plan(self.attacks, self.sizes, self.bounds)

    def settings(
        self, model: LightningModule, source: LightningDataModule | LightningModule
    ) -> dict[str, Any]:
        """Return what the results depend on, as plain values.

        Args:
            model: With its weights loaded.
            source: Where the images come from.
        """
        names = (
            "sizes", "bounds", "shared", "certify", "split", "limit", "chunk", "sanity", "seed",
        )  # fmt: skip
        # In their order, which decides who leaves out what.
        attacks = [[name, described(attack)] for name, attack in self.attacks.items()]
        return {**described_job(self, model, source, names), "attacks": attacks}
