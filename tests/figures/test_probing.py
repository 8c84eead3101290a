import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.probing import NAMES, Cloud, Line, clouds_figure, lines_figure

FACTORS = torch.tensor([0.0, 1.0, 2.0])
SHARES = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
LINE = Line(FACTORS, SHARES, SHARES.flip(0))
CLOUD = Cloud(FACTORS + 1, SHARES.sort(1).values[:, [1, 0, 2]], SHARES.sort(1).values[:, [1, 0, 2]])


def test_each_model_is_a_column_and_each_direction_a_row():
    figure = lines_figure({"a": {"x": LINE, "y": LINE}, "b": {"x": LINE, "y": LINE}}, title="T")
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert [figure.axes[i].get_ylabel().split()[0] for i in (0, 2)] == ["x", "y"]
    assert figure.get_suptitle() == "T"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:3] == [f"{name}, mean probability" for name in NAMES]
    label = figure.axes[-1].get_xlabel()
    assert label.split() == ["multiple", "of", "the", "image's", "adversarial", "perturbation"]
    assert png(figure).startswith(b"\x89PNG")


def test_areas_are_the_probabilities_in_per_cent_and_dashed_lines_the_answers_borders():
    axis = lines_figure({"a": {"x": LINE}}).axes[0]
    top_of_first = axis.collections[0].get_paths()[0].vertices
    assert [top_of_first[(top_of_first[:, 0] == t)][:, 1].max() for t in (0, 1, 2)] == [100, 25, 0]
    borders = [line.get_ydata().tolist() for line in axis.lines[:2]]
    assert borders == [[0, 25, 100], [50, 75, 100]]


def test_clouds_have_a_colour_for_each_centre_and_the_target_only_around_examples():
    figure = clouds_figure({"a": {0.0: CLOUD, 1.0: CLOUD, 2.0: CLOUD}})
    lines = figure.axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "-", "--", "-", "--"]
    assert len({line.get_color() for line in lines}) == 3
    assert lines[0].get_ydata().tolist() == (100 * CLOUD.wrong[:, 0]).tolist()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0] == "wrong predictions around the image"
    assert texts[2].split() == [
        "wrong",
        "predictions",
        "around",
        "2",
        "times",
        "the",
        "perturbation",
    ]
    assert figure.axes[0].get_ylabel() == "share of the noisy images, %"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_entry_of_a_legend_is_cut(count):
    clouds = {0.0: CLOUD, 1.0: CLOUD, 1.5: CLOUD}
    figures = [
        clouds_figure({str(i): clouds for i in range(count)}),
        lines_figure({str(i): {"x": LINE} for i in range(count)}),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "no model"),
        ({"a": {"x": LINE}, "b": {"y": LINE}}, r"'b' has \['y'\], the first model \['x'\]"),
        ({"a": {"x": Line(FACTORS, SHARES[:2], SHARES)}}, r"\(3,\) and values of shape \(2, 3\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(models, message):
    with pytest.raises(ValueError, match=message):
        lines_figure(models)
