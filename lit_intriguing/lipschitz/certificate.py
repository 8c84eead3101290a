"""What Lipschitz bounds certify: the distance inside which no input changes the prediction."""

import math
from collections.abc import Collection
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lit_intriguing.autograd import preserved
from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.solvers.spectral.rounding import rounded_up

RELATIVE_ERROR = 1e-9
"""Assumed of float64 logits, relative to an example's largest: a million times that of a sum."""

_ROUNDED_DOWN = 1 - 2.0**-51
"""The rounding of a difference and of what is taken from it, downwards."""


def float64_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Compute a model's logits in float64, in evaluation mode.

    Args:
        model: Maps `(N, *S)` to `(N, K)`; left as it is.
        x: Examples `(N, *S)`.

    Returns:
        Float64 `(N, K)`, detached.
    """
    state = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in chain(model.named_parameters(), model.named_buffers())
    }
    with preserved(model), torch.no_grad():
        logits: Tensor = functional_call(model, state, (x.double(),))
    return logits


def certified_radius(
    logits: Tensor,
    norms: Norm | Tensor | float,
    labels: Tensor | None = None,
    *,
    logit_error: float | None = None,
    accept: Collection[Kind] = ("exact", "upper"),
) -> Tensor:
    """Bound from below the L2 distance to the nearest input with another prediction.

    The logit i leads j by `f_i - f_j`, which a step of length r lowers by at most `L_ij r`
    (Tsuzuku et al. 2018, "Lipschitz-margin training", proposition 1).

    Args:
        logits: `(N, K)`, float64: `float64_logits`.
        norms: Bound of each difference of two logits, `(K, K)`, as of `pair_norms`; or of the
            whole network, a `Norm` or a number, of which `sqrt(2)` times bounds each difference.
            Numbers and tensors count as certified.
        labels: `(N,)`; misclassified examples have radius zero. Without labels, none has.
        logit_error: How far each logit may be off the exact one, in their units. By default
            `RELATIVE_ERROR` times the example's largest logit, for logits in float64 only.
        accept: Kinds of `Norm` to take. What follows from the two weaker ones is not certified.

    Returns:
        L2 radii `(N,)`, float64, in the units of the inputs: every input strictly nearer has the
        same largest logit. Zero where nothing is known, also where a logit is NaN, or
        the difference of two is infinite in float64.

    Raises:
        TypeError: For norms of another type.
        ValueError: Other shapes, norms that are negative or NaN, a kind that is not accepted, or
            logits of less than float64 without `logit_error`.

    Examples:
        >>> logits = torch.tensor([[3.0, 1.0], [0.0, 4.0]], dtype=torch.float64)
        >>> certified_radius(logits, torch.tensor([[0.0, 2.0], [2.0, 0.0]]))
        tensor([1.0000, 2.0000], dtype=torch.float64)
    """
    _check(logits, labels, logit_error)
    bounds = _pairwise(norms, logits.shape[1], accept)
    wide = logits.detach().cpu().double()
    error = wide.abs().amax(1) * RELATIVE_ERROR if logit_error is None else logit_error
    predictions = wide.argmax(1)
    ahead = wide.amax(1, keepdim=True) - wide
    lead = ahead * _ROUNDED_DOWN - torch.as_tensor(2 * error).view(-1, 1)
    stretch = bounds[predictions]
    greatest = torch.finfo(wide.dtype).max  # of two finite numbers the quotient may overflow
    radii = torch.where(stretch > 0, (lead / stretch).clamp(max=greatest), math.inf)
    radii = torch.where(lead > 0, radii, 0.0)
    radii.scatter_(1, predictions.unsqueeze(1), math.inf)
    radii = radii.amin(1) / rounded_up(1.0)
    known = ahead.isfinite().all(1)
    if labels is not None:
        known &= predictions == labels.cpu()
    return torch.where(known, radii, 0.0)


def certified_accuracy(radii: Tensor, correct: Tensor, at: Tensor) -> Tensor:
    """Return the share of examples that are certified correct at each distance.

    Args:
        radii: Of `certified_radius`, `(N,)`.
        correct: Whether each is classified correctly, bool `(N,)`.
        at: L2 distances, zero or more, `(R,)`: no input so far from an example, or nearer, may
            have another prediction.

    Returns:
        Shares in [0, 1], float64 `(R,)`; NaN without examples.

    Raises:
        ValueError: Other shapes or types, or distances below zero.

    Examples:
        >>> radii, correct = torch.tensor([1.0, 0.2]), torch.tensor([True, True])
        >>> certified_accuracy(radii, correct, torch.tensor([0.0, 0.5]))
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    if radii.ndim != 1 or correct.shape != radii.shape or correct.dtype != torch.bool:
        raise ValueError(
            f"radii must be (N,) and correct bool (N,), not {tuple(radii.shape)} and "
            f"{correct.dtype} {tuple(correct.shape)}."
        )
    if at.ndim != 1 or not bool((at >= 0).all()):
        raise ValueError(f"at must hold distances (R,) of zero or more, not {at}.")
    inside = (radii.unsqueeze(1) > at) | (at == 0)
    return (inside & correct.unsqueeze(1)).double().mean(0)


def _pairwise(norms: Norm | Tensor | float, classes: int, accept: Collection[Kind]) -> Tensor:
    """Return bounds of all differences, `(K, K)`."""
    if isinstance(norms, Norm):
        if norms.kind not in accept:
            raise ValueError(
                f"A radius from a norm of kind {norms.kind!r} is not certified: bound the network "
                f"with stack_norm or network_norm, or allow it by accept=({norms.kind!r},)."
            )
        norms = norms.value
    if not isinstance(norms, Tensor):
        if not isinstance(norms, float | int):
            raise TypeError(
                f"norms is a {type(norms).__name__}: give a Norm (of network_norm(...) its .norm), "
                "a number, or a tensor (K, K)."
            )
        if not norms >= 0:
            raise ValueError(f"norms must be zero or more, not {norms}.")
        whole = rounded_up(math.sqrt(2) * norms)
        norms = torch.full((classes, classes), whole, dtype=torch.float64)
    if norms.shape != (classes, classes):
        raise ValueError(
            f"norms must be one number, or ({classes}, {classes}) for the {classes} logits, not "
            f"{tuple(norms.shape)}."
        )
    if not bool((norms >= 0).all()):
        raise ValueError("norms must be zero or more; one is negative or NaN.")
    return norms.detach().cpu().double()


def _check(logits: Tensor, labels: Tensor | None, logit_error: float | None) -> None:
    if logits.ndim != 2 or logits.shape[1] < 1 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be floating point (N, K), not {logits.dtype} {tuple(logits.shape)}."
        )
    if labels is not None and labels.shape != logits.shape[:1]:
        raise ValueError(f"labels must be ({len(logits)},), not {tuple(labels.shape)}.")
    if logit_error is None and logits.dtype != torch.float64:
        raise ValueError(
            f"The logits are {logits.dtype}, whose rounding may exceed a margin: compute them with "
            "float64_logits, or say by logit_error how far they may be off."
        )
    if logit_error is not None and not logit_error >= 0:
        raise ValueError(f"logit_error must be zero or more, not {logit_error}.")
