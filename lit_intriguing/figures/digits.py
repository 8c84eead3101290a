"""Grid of clean images, magnified differences and adversarial images."""

from collections.abc import Sequence
from math import isqrt

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.difference import shown_difference


def adversarial_digits(
    clean: Tensor,
    adversarial: Tensor,
    clean_labels: Sequence[object] | Tensor | None = None,
    adversarial_labels: Sequence[object] | Tensor | None = None,
    *,
    magnify: float = 1.0,
) -> Figure:
    """Draw one column per example: clean, difference, adversarial.

    The difference is shown as in Szegedy et al. 2013, figure 5: magnified and shifted by half
    the grey scale, so that grey means unchanged.

    Args:
        clean: (N, D) with D a square, (N, H, W), (N, 1, H, W) or (N, 3, H, W), pixels in [0, 1].
        adversarial: As `clean`. Values outside [0, 1] are drawn as black or white.
        clean_labels: (N,) predictions of the clean images, written above the column.
        adversarial_labels: (N,) predictions of the adversarial ones, written below.
        magnify: Factor on the difference (the paper: 10 for photographs).

    Returns:
        The figure. Below each column stands its distortion, root mean square over pixels.

    Raises:
        ValueError: There is no image, the shapes differ or are not images', there are not N
            labels, or `magnify` is not positive.
    """
    if clean.shape != adversarial.shape:
        raise ValueError(
            f"clean and adversarial images differ in shape: {tuple(clean.shape)} "
            f"and {tuple(adversarial.shape)}"
        )
    middle, _ = shown_difference(clean.detach().cpu(), adversarial.detach().cpu(), magnify)
    clean, adversarial = as_images(clean), as_images(adversarial)
    count = len(clean)
    above = _texts(clean_labels, count, "clean_labels")
    below = _texts(adversarial_labels, count, "adversarial_labels")
    distortion = (adversarial - clean).flatten(1).square().mean(1).sqrt()

    figure = new_figure(max(0.9 * count + 1.0, 3.5), 3.5)
    axes = figure.subplots(3, count, squeeze=False)
    name = "difference" if magnify == 1 else f"difference × {magnify:g}"  # noqa: RUF001
    rows = (("clean", clean), (name, as_images(middle)), ("adversarial", adversarial))
    for row, (title, images) in enumerate(rows):
        for column in range(count):
            axis = axes[row, column]
            axis.imshow(images[column].clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(color=GREY, linewidth=0.5)
        axes[row, 0].set_ylabel(title, color=INK, fontsize=8)
    for column in range(count):
        axes[0, column].set_title(above[column], color=INK, fontsize=9)
        lines = [text for text in (below[column], f"{distortion[column]:.3f}") if text]
        axes[2, column].set_xlabel("\n".join(lines), color=INK, fontsize=8)
    figure.supxlabel(
        "prediction above (clean) and below (adversarial); distortion: RMS over pixels in [0, 1]"
        if clean_labels is not None or adversarial_labels is not None
        else "distortion: RMS over pixels in [0, 1]",
        fontsize=7,
        color=GREY,
    )
    return figure


def as_images(batch: Tensor) -> Tensor:
    """Bring a batch into the shape that matplotlib draws.

    Args:
        batch: (N, D) with D a square, (N, H, W), (N, 1, H, W) or (N, 3, H, W).

    Returns:
        (N, H, W) or (N, H, W, 3), float32, on the CPU, detached.

    Raises:
        ValueError: The batch is empty or has another shape.

    >>> as_images(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 8, 8])
    >>> as_images(torch.zeros(2, 64)).shape
    torch.Size([2, 8, 8])
    """
    images = batch.detach().to("cpu", torch.float32).contiguous()
    shape = tuple(images.shape)
    if images.numel() == 0:
        raise ValueError(f"no image to draw: the batch has shape {shape}")
    if images.ndim == 2 and isqrt(shape[1]) ** 2 == shape[1]:
        return images.view(shape[0], isqrt(shape[1]), isqrt(shape[1]))
    if images.ndim == 3:
        return images
    if images.ndim == 4 and shape[1] == 1:
        return images[:, 0]
    if images.ndim == 4 and shape[1] == 3:
        return images.movedim(1, -1)
    raise ValueError(
        f"a batch of shape {shape} is not drawn: give (N, H, W), (N, 1, H, W), (N, 3, H, W), "
        "or (N, D) with D a square"
    )


def _texts(labels: Sequence[object] | Tensor | None, count: int, name: str) -> list[str]:
    if labels is None:
        return [""] * count
    values = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries for {count} images")
    return [str(value) for value in values]
