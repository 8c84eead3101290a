"""Signs in a model's output: random, made of the whole batch, no logits (AutoAttack's flags).

Croce and Hein 2020, *Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks*, and the flags of their code.
"""

import torch
from torch import Tensor

from lit_intriguing.attacks.sealed_model import Model

_CHANGE = 1e-4
"""From which on logits count as others, relative to the largest of the example; more in bf16."""


def randomness(model: Model, images: Tensor, repeats: int = 5) -> float:
    """Return the share of examples whose logits differ from call to call.

    Args:
        model: Maps examples to logits `(N, C)`; it is left in the mode that it has.
        images: `(N, *S)`.
        repeats: Calls to compare.
    """
    with torch.no_grad():
        first = model(images)
        changed = torch.zeros(len(images), dtype=torch.bool, device=first.device)
        for _ in range(repeats - 1):
            changed |= _differ(first, model(images))
    return _share(changed)


def batch_dependence(model: Model, images: Tensor) -> float:
    """Return the share of examples whose logits depend on the rest of the batch.

    BatchNorm in training mode is the usual reason. An attack then fools the batch, not the example.

    Args:
        model: Maps examples to logits `(N, C)`; it is left in the mode that it has.
        images: `(N, *S)`, N at least 2.
    """
    with torch.no_grad():
        together, half = model(images), len(images) // 2
        apart = torch.cat([model(images[:half]), model(images[half:])]) if half else together
    return _share(_differ(together, apart))


def gives_probabilities(model: Model, images: Tensor) -> bool:
    """Return whether a model's outputs are probabilities: not negative, with the sum 1.

    A softmax that is close to 0 and 1 has no gradient to follow, and a loss that takes logits
    applies it twice.

    Args:
        model: Maps examples to outputs `(N, C)`.
        images: `(N, *S)`.
    """
    with torch.no_grad():
        output = model(images).double()
    sums_to_one = (output.sum(1) - 1).abs() < 1e-3
    return len(output) > 0 and bool(sums_to_one.all() and (output >= -1e-6).all())


def _differ(one: Tensor, other: Tensor) -> Tensor:
    scale = one.abs().amax(1).clamp(min=1e-12)
    change = max(_CHANGE, 4 * torch.finfo(one.dtype).eps)
    return ~((one - other).abs().amax(1) <= change * scale)


def _share(flags: Tensor) -> float:
    return float(flags.double().mean()) if len(flags) else float("nan")
