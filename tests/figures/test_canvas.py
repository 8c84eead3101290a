import torch

from lit_intriguing.figures.canvas import new_figure, pixels, png


def test_pixels_are_uint8_of_the_figures_size_with_what_was_drawn():
    figure = new_figure(2, 1)
    axis = figure.subplots()
    axis.imshow([[1.0]], cmap="gray", vmin=0, vmax=2)
    image = pixels(figure)
    assert image.shape == (150, 300, 3)
    assert image.dtype == torch.uint8
    assert tuple(image[0, 0].tolist()) == (255, 255, 255)
    assert image.eq(128).all(-1).float().mean() > 0.1


def test_png_starts_with_the_formats_signature():
    assert png(new_figure(1, 1)).startswith(b"\x89PNG\r\n")


def test_no_figure_is_kept_in_pyplots_global_state():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    new_figure(1, 1)
    assert pyplot.get_fignums() == before
