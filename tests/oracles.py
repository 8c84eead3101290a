"""Slow, obviously right versions: loops over rows and elements, in double precision."""

import math

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """Logits `W x + b` of flattened inputs, in double precision unless told otherwise."""

    def __init__(self, features: int, classes: int, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(classes, features, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight * scale)
        self.bias = nn.Parameter(torch.randn(classes, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def cross_entropy_gradient(model: Linear, x: Tensor, labels: Tensor) -> Tensor:
    """The gradient by `x` of each row's cross-entropy: `W^T (softmax(z) - onehot(label))`."""
    rows = []
    for row, label in zip(x.double(), labels.tolist(), strict=True):
        logits = [
            sum(w * v for w, v in zip(weights.tolist(), row.flatten().tolist(), strict=True)) + bias
            for weights, bias in zip(model.weight, model.bias.tolist(), strict=True)
        ]
        largest = max(logits)
        exponentials = [math.exp(z - largest) for z in logits]
        total = sum(exponentials)
        error = [e / total - (c == label) for c, e in enumerate(exponentials)]
        weight = model.weight.detach().double()
        rows.append((torch.tensor(error, dtype=torch.float64) @ weight).view_as(row))
    return torch.stack(rows)


def steepest(gradient: Tensor, norm: float) -> Tensor:
    """Each row's step of length one against the gradient; zero where there is no direction."""
    result = torch.zeros_like(gradient, dtype=torch.float64)
    for into, row in zip(result, gradient.double(), strict=True):
        flat = row.flatten().tolist()
        if not all(math.isfinite(g) for g in flat) or not any(flat):
            continue
        length = math.hypot(*flat)
        step = [-g / length if norm == 2 else -math.copysign(g != 0, g) for g in flat]
        into.copy_(torch.tensor(step, dtype=torch.float64).view_as(row))
    return result


def nearest_in_ball(perturbation: Tensor, eps: float, norm: float) -> Tensor:
    """Each row's nearest perturbation of length at most `eps`."""
    result = perturbation.double().clone()
    for row in result:
        flat = row.flatten().tolist()
        length = math.hypot(*flat)
        if norm == math.inf:
            flat = [min(max(v, -eps), eps) for v in flat]
        elif length > eps:
            flat = [v * eps / length for v in flat]
        row.copy_(torch.tensor(flat, dtype=torch.float64).view_as(row))
    return result


def second_likeliest(logits: Tensor, labels: Tensor) -> Tensor:
    """The wrong class with the largest logit, for each row."""
    found = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        wrong = [(z, c) for c, z in enumerate(row) if c != label]
        found.append(max(wrong, key=lambda pair: pair[0])[1])
    return torch.tensor(found)


def weighted_mean(clean: float, layers: dict[str, float], weights: dict[str, float]) -> float:
    """`(clean + sum_l w_l loss_l) / (1 + sum_l w_l)`."""
    return (clean + sum(weights[name] * loss for name, loss in layers.items())) / (
        1 + sum(weights[name] for name in layers)
    )


def chi_square(counts: list[int], expected: float) -> float:
    """Pearson's statistic against equal expectations."""
    return sum((count - expected) ** 2 / expected for count in counts)
