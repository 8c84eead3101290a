import numpy as np
import torch

from lit_intriguing.figures import dot_plot
from lit_intriguing.figures.canvas import new_figure, pixels, png


def test_png_starts_with_the_formats_signature():
    assert png(new_figure(1, 1)).startswith(b"\x89PNG\r\n")


def test_no_figure_is_kept_in_pyplots_global_state():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    new_figure(1, 1)
    assert pyplot.get_fignums() == before


def test_pixels_are_those_of_the_figure_without_transparency() -> None:
    drawn = dot_plot({"one": torch.tensor([1.0])}, label="x")
    array = pixels(drawn)
    assert array.shape == (round(150 * drawn.get_figheight()), 1050, 3)
    assert array.dtype == np.uint8
    assert array[0, 0].tolist() == [255, 255, 255]
    assert array.min() < 100
