"""Columns of images side by side with their distorted counterparts."""

from math import ceil

from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.digits import as_images


def adversarial_pairs(
    clean: Tensor, adversarial: Tensor, caption: str = "", *, columns: int = 5
) -> Figure:
    """Draw pairs: odd columns clean, even columns adversarial.

    In the style of Szegedy et al. 2013, figure 7.

    Args:
        clean: (N, D) with D a square, (N, H, W), (N, 1, H, W) or (N, 3, H, W), pixels in [0, 1].
        adversarial: As `clean`. Values outside [0, 1] are drawn as black or white.
        caption: A line below, such as accuracy and average distortion.
        columns: Pairs side by side, where there are so many.

    Returns:
        The figure.

    Raises:
        ValueError: There is no image, the shapes differ or are not images', or `columns` is not
            positive.
    """
    if clean.shape != adversarial.shape:
        raise ValueError(
            f"clean and adversarial images differ in shape: {tuple(clean.shape)} "
            f"and {tuple(adversarial.shape)}"
        )
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    left, right = as_images(clean).clamp(0, 1), as_images(adversarial).clamp(0, 1)
    columns = min(columns, len(left))
    rows = ceil(len(left) / columns)
    figure = new_figure(max(1.25 * columns, 4.5), 0.62 * rows + 0.4)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number in range(len(left)):
        row, column = divmod(number, columns)
        for images, axis in zip((left, right), axes[row, 2 * column :], strict=False):
            axis.axis("on")
            axis.imshow(images[number].numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(color=GREY, linewidth=0.4)
    figure.supxlabel(caption, fontsize=7, color=INK)
    return figure
