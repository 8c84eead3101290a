"""The margin between a target and the other classes, made smooth."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def smooth_margin(logits: Tensor, targets: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``T logsumexp_{j != target}(z_j / T) - z_target``, and its limit for T to 0.

    The first is differentiable by the logits and never less than the second, which is the margin
    of success: negative where the target leads.

    Args:
        logits: z, of shape ``(N, C)``, C at least 2.
        targets: int64 ``(N,)``.
        temperature: T, positive, in units of the logits, ``(N,)``.

    Returns:
        Both margins, ``(N,)``, in units of the logits.

    Examples:
        >>> z = torch.tensor([[3.0, 1.0, 0.0]])
        >>> smooth, sharp = smooth_margin(z, torch.tensor([1]), torch.tensor([0.1]))
        >>> smooth.item(), sharp.item()
        (2.0, 2.0)
    """
    smooth, sharp = _SmoothMargin.apply(logits, targets, temperature)
    return smooth, sharp


class _SmoothMargin(torch.autograd.Function):
    """With a gradient written out: that of the parts costs as much as a small network."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, logits: Tensor, targets: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        column = targets.unsqueeze(1)
        others = logits.scatter(1, column, -torch.inf)
        largest = others.amax(1, keepdim=True)
        weights = others.sub_(largest).div_(temperature.unsqueeze(1)).exp_()
        total = weights.sum(1, keepdim=True)
        sharp = (largest - logits.gather(1, column)).squeeze(1)
        smooth = torch.addcmul(sharp, temperature, total.squeeze(1).log())
        gradient = weights.div_(total).scatter_(1, column, -1.0)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(sharp)
        return smooth, sharp

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, smooth: Tensor, sharp: Tensor | None
    ) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * smooth.unsqueeze(1), None, None
