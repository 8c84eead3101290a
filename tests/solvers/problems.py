"""Problems whose answers are known, and networks for the solvers to break."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks.problem import smooth_margin


class Quadratics:
    """`1/2 (x - t)' A (x - t)`, one for each of N rows, positive definite.

    Args:
        rows: N.
        dimensions: D.
        condition: Ratio of the largest to the smallest eigenvalue of each A.
        scale: Of the values.
        seed: Of the numbers.
    """

    def __init__(
        self,
        rows: int,
        dimensions: int,
        *,
        condition: float = 100.0,
        scale: float = 1.0,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        source = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=source, dtype=torch.float64)

        axes = torch.linalg.qr(normal(rows, dimensions, dimensions))[0]
        eigenvalues = torch.logspace(0, 1, dimensions, condition, dtype=torch.float64) * scale
        self.a = ((axes * eigenvalues) @ axes.transpose(1, 2)).to(dtype)
        self.centre = (normal(rows, dimensions) + 0.5).to(dtype)

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        r = x - self.centre[rows]
        return torch.einsum("ni,nij,nj->n", r, self.a[rows], r) / 2


class Classifier:
    """A network seen as the solvers see it, with a target for each of N rows.

    Attributes:
        x: Clean points in [0, 1], `(N, D)`.
        targets: Labels aimed at, never the clean prediction.
        unit: The margin of success at the clean points, `(N,)`.
        evaluated: How often each row was evaluated with gradients, `(N,)`.
    """

    def __init__(
        self,
        rows: int,
        dimensions: int = 12,
        classes: int = 4,
        *,
        net: nn.Module | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        source = torch.Generator().manual_seed(seed)
        self.net = (net or tanh_network(dimensions, classes, seed)).to(dtype)
        self.x = torch.rand(rows, dimensions, generator=source, dtype=torch.float64).to(dtype)
        with torch.no_grad():
            shift = torch.randint(1, classes, (rows,), generator=source)
            self.targets = (self.net(self.x).argmax(1) + shift) % classes
        self.unit = self.margin(self.x, torch.arange(rows))
        self.evaluated = torch.zeros(rows, dtype=torch.int64)

    def constraint(self, x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        self._count(rows)
        return smooth_margin(self.net(x), self.targets[rows], smoothing / 15)

    def loss(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        self._count(rows)
        logits = self.net(x)
        loss = F.cross_entropy(logits, self.targets[rows], reduction="none")
        return loss, self.margin(x, rows)

    def margin(self, x: Tensor, rows: Tensor) -> Tensor:
        """The largest other logit minus the target's, `(n,)`."""
        logits, column = self.net(x).detach(), self.targets[rows].unsqueeze(1)
        others = logits.scatter(1, column, -torch.inf).amax(1)
        return others - logits.gather(1, column).squeeze(1)

    def _count(self, rows: Tensor) -> None:
        if torch.is_grad_enabled():
            self.evaluated[rows] += 1


def tanh_network(dimensions: int, classes: int, seed: int = 0, gain: float = 3.0) -> nn.Module:
    """A network curved enough that minimisations take many steps."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(dimensions, 24), nn.Tanh(), nn.Linear(24, classes))
    for parameter in net.parameters():
        parameter.requires_grad_(False).mul_(gain)
    return net
