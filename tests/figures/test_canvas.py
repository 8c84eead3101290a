from lit_intriguing.figures.canvas import new_figure, png


def test_png_starts_with_the_formats_signature():
    assert png(new_figure(1, 1)).startswith(b"\x89PNG\r\n")


def test_no_figure_is_kept_in_pyplots_global_state():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    new_figure(1, 1)
    assert pyplot.get_fignums() == before
