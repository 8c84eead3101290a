"""Tensors in, matplotlib figure out."""

from lit_intriguing.figures.curves import error_curves
from lit_intriguing.figures.digits import adversarial_digits
from lit_intriguing.figures.dots import dot_plot

__all__ = ["adversarial_digits", "dot_plot", "error_curves"]
