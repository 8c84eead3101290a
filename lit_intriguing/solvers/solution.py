"""What every search of this room returns: a point, a value and a status for each problem."""

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class StatusCode(IntEnum):
    """A number with a message: the base of lists of what can become of a problem.

    Attributes:
        message: A sentence for people.
    """

    message: str

    def __new__(cls, value: int, message: str = "") -> "StatusCode":
        """Return the number, with its message."""
        code = int.__new__(cls, value)
        code._value_, code.message = value, message
        return code


class Status(StatusCode):
    """Why the search for a problem ended."""

    CONVERGED = 0, "The tolerances are met."
    PRECISION = (
        1,
        "The objective no longer falls in its floating-point precision, and the gradient is small.",
    )
    STEPS = 2, "The steps were used up before the tolerances were met."
    NOT_FINITE = (
        3,
        "The objective or its gradient is not finite at the first point.",
    )
    NOT_FOUND = 4, "No point that was tried is feasible, or a success."
    STUCK = (
        5,
        "No step lowers the objective beyond its rounding, though the gradient is not small.",
    )


@dataclass(frozen=True, repr=False)
class Solution:
    """Solutions of N problems of D variables.

    Attributes:
        point: The best point of each, in the box, `(N, D)`.
        value: The objective there, `(N,)`.
        evaluations: Gradients computed, int64 `(N,)`.
        status: A `Status` each, int8 `(N,)`.
    """

    point: Tensor
    value: Tensor
    evaluations: Tensor
    status: Tensor

    def __len__(self) -> int:
        return len(self.status)

    def __repr__(self) -> str:
        counts = Counter(self.status.tolist())
        found = [f"{counts[code]} {code.name}" for code in Status if counts[code]]
        problems, variables = self.point.shape
        return (
            f"{type(self).__name__}({problems} problems of {variables} variables: "
            f"{', '.join(found) or 'none'}; {int(self.evaluations.sum())} evaluations)"
        )

    @property
    def x(self) -> Tensor:
        """Another name of `point`, `(N, D)`."""
        return self.point

    @property
    def converged(self) -> Tensor:
        """Which problems ended by their tolerances, or as near as the dtype allows: `(N,)`."""
        return self.status <= Status.PRECISION

    @property
    def messages(self) -> list[str]:
        """The status of each problem in words.

        Examples:
            >>> import torch
            >>> status = torch.tensor([0, 2], dtype=torch.int8)
            >>> Solution(torch.zeros(2, 3), torch.zeros(2), status.long(), status).messages[1]
            'The steps were used up before the tolerances were met.'
        """
        return [Status(code).message for code in self.status.tolist()]


@dataclass(frozen=True, repr=False)
class NearestSolution(Solution):
    """Points near to x0 of N problems; `value` is `|point - x0|^2`, infinite where none was met.

    The point of a problem without a success is x0.
    """

    @property
    def success(self) -> Tensor:
        """Which problems have a point that succeeds: bool `(N,)`."""
        return self.status <= Status.STEPS

    @property
    def settled(self) -> Tensor:
        """Which problems succeed and ended by their tolerances: bool `(N,)`."""
        return self.status == Status.CONVERGED


def success_status(success: Tensor, settled: Tensor, broken: Tensor) -> Tensor:
    """Return the status of searches for a point that succeeds, int8 `(n,)`.

    Args:
        success: Whether one was found, bool `(n,)`.
        settled: Whether the search ended by its tolerances, bool `(n,)`.
        broken: Whether no trial had a finite value and gradient, bool `(n,)`.
    """
    ended = torch.where(settled, int(Status.CONVERGED), int(Status.STEPS))
    failed = torch.where(broken, int(Status.NOT_FINITE), int(Status.NOT_FOUND))
    return torch.where(success, ended, failed).to(torch.int8)
