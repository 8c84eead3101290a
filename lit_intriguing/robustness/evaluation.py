"""What attacks of all sizes found, example by example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.metrics.robustness import class_errors, distance_quantiles, robust_error
from lit_intriguing.robustness.plan import Planned
from lit_intriguing.robustness.sizes import NORMS

QUANTILES = (0.1, 0.5, 0.9)
"""Of the minimal distances: these shares of the examples read rightly are fooled within them."""

_FIELDS = ("tried", "fooled", "queries")


@dataclass(frozen=True)
class Trial:
    """One run of an attack over N examples: an attack in a ball has one for each size.

    Attributes:
        attack: The attack's name.
        norm: In which its size was fixed; None where it searched for the nearest example.
        size: That size; None likewise.
        tried: Whether it ran on the example, bool `(N,)`.
        fooled: Whether the model reads what it returned wrongly, bool `(N,)`.
        distances: How far that is from the clean example, by norm, float64 `(N,)`; NaN where it
            did not run. Of a failure as well.
        queries: Gradient evaluations spent, int64 `(N,)`.
    """

    attack: str
    norm: str | None
    size: float | None
    tried: Tensor
    fooled: Tensor
    distances: Mapping[str, Tensor]
    queries: Tensor


@dataclass(frozen=True)
class Evaluation:
    """What all attacks found on N examples.

    Attributes:
        labels: True labels, int64 `(N,)`.
        predictions: Of the clean examples, int64 `(N,)`.
        trials: In the order in which they ran.
        certified: For each norm, the distance within which the prediction provably stays, float64
            `(N,)`, zero where it is wrong; empty where there are no bounds.
    """

    labels: Tensor
    predictions: Tensor
    trials: Sequence[Trial]
    certified: Mapping[str, Tensor]

    @property
    def wrong(self) -> Tensor:
        """Whether the clean example is read wrongly, bool `(N,)`."""
        return self.predictions != self.labels

    @property
    def attacks(self) -> list[str]:
        """The attacks' names."""
        return list(dict.fromkeys(trial.attack for trial in self.trials))

    @property
    def queries(self) -> Tensor:
        """Gradient evaluations spent on each example, by all attacks, int64 `(N,)`."""
        return torch.stack([trial.queries for trial in self.trials]).sum(0)

    def nearest(self, norm: str, attacks: Sequence[str] | None = None) -> Tensor:
        """Return how far the nearest example is that fools the model.

        Args:
            norm: Its name.
            attacks: Which attacks count; None for all.

        Returns:
            Float64 `(N,)`: zero where the clean example is read wrongly, infinity where no attack
            found any.
        """
        nearest = torch.where(self.wrong, 0.0, torch.inf).double()
        for trial in self.trials:
            if attacks is None or trial.attack in attacks:
                found = torch.where(trial.fooled, trial.distances[norm], torch.inf)
                nearest = torch.minimum(nearest, found)
        return nearest

    def error(
        self, norm: str, sizes: Sequence[float], attacks: Sequence[str] | None = None
    ) -> Tensor:
        """Return the share of examples read wrongly, or fooled within each size, float64 `(R,)`."""
        return robust_error(self.nearest(norm, attacks), torch.tensor(sizes, dtype=torch.float64))

    def class_errors(self, norm: str, sizes: Sequence[float]) -> Tensor:
        """Return the same for the examples of each label up to the largest, float64 `(C, R)`."""
        at = torch.tensor(sizes, dtype=torch.float64)
        return class_errors(self.nearest(norm), self.labels, int(self.labels.max()) + 1, at)

    def quantiles(self, norm: str) -> Tensor:
        """Return `QUANTILES` of the distances over the examples read rightly; NaN without any.

        Where no attack found an example, the distance is infinite.
        """
        shares = torch.tensor(QUANTILES, dtype=torch.float64)
        return distance_quantiles(self.nearest(norm)[~self.wrong], shares)

    def uncertified(self, norm: str, sizes: Sequence[float]) -> Tensor | None:
        """Return the share not proved to be read rightly within each size; None without bounds."""
        if norm not in self.certified:
            return None
        at = torch.tensor(sizes, dtype=torch.float64, device=self.certified[norm].device)
        # A radius itself is not inside: every input strictly nearer has the same prediction.
        return (self.certified[norm].unsqueeze(1) <= at).double().mean(0)

    def columns(self) -> dict[str, Tensor]:
        """Return all tensors by name, on the CPU, each `(N,)`."""
        found = {"labels": self.labels, "predictions": self.predictions}
        for number, trial in enumerate(self.trials):
            found |= {f"{number}/{name}": getattr(trial, name) for name in _FIELDS}
            found |= {f"{number}/{norm}": one for norm, one in trial.distances.items()}
        found |= {f"certified/{norm}": one for norm, one in self.certified.items()}
        return {name: one.detach().cpu() for name, one in found.items()}

    @classmethod
    def of(cls, columns: Mapping[str, Tensor], runs: Sequence[Planned]) -> "Evaluation":
        """Return the evaluation of these columns, the opposite of `columns`.

        Args:
            columns: All of them.
            runs: The plan by which they were made.
        """
        trials = [
            Trial(
                run.name, run.norm, run.size,
                **{name: columns[f"{number}/{name}"] for name in _FIELDS},
                distances={norm: columns[f"{number}/{norm}"] for norm in NORMS},
            )
            for number, run in enumerate(runs)
        ]  # fmt: skip
        keys = {norm: f"certified/{norm}" for norm in NORMS}
        certified = {norm: columns[key] for norm, key in keys.items() if key in columns}
        return cls(columns["labels"], columns["predictions"], trials, certified)
