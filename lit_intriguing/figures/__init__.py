"""Tensors in, matplotlib figure out."""

from lit_intriguing.figures.curves import error_curves
from lit_intriguing.figures.digits import adversarial_digits
from lit_intriguing.figures.dots import dot_plot
from lit_intriguing.figures.examples import examples_figure
from lit_intriguing.figures.filters import filters_figure
from lit_intriguing.figures.heat_map import heat_map
from lit_intriguing.figures.pairs import adversarial_pairs
from lit_intriguing.figures.top_images import top_images_figure
from lit_intriguing.figures.unit_effects import effects_figure

__all__ = [
    "adversarial_digits",
    "adversarial_pairs",
    "dot_plot",
    "effects_figure",
    "error_curves",
    "examples_figure",
    "filters_figure",
    "heat_map",
    "top_images_figure",
]
