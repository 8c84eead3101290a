import math

import pytest

from lit_intriguing.figures.bars import COLOURS, Bar, bar_chart, norm_bar
from lit_intriguing.figures.canvas import png
from lit_intriguing.lipschitz import Norm

NEAR = [Bar("conv1", 2.75, "exact"), Bar("pool", 2.0, "upper")]


def test_every_value_is_a_bar_of_its_length_in_the_colour_of_its_kind():
    axis = bar_chart(NEAR, label="norm").axes[0]
    assert [bar.get_width() for bar in axis.patches] == [2.75, 2.0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["conv1", "pool"]
    assert [text.get_text() for text in axis.texts] == ["2.75", "2"]
    assert COLOURS["exact"] != COLOURS["upper"]
    (legend,) = axis.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "upper"]


def test_values_that_span_decades_are_dots_on_a_logarithmic_axis_which_has_no_nought():
    assert bar_chart(NEAR, label="norm").axes[0].get_xscale() == "linear"
    axis = bar_chart([*NEAR, Bar("product", 5.5e4, "upper")], label="norm").axes[0]
    assert axis.get_xscale() == "log"
    assert len(axis.patches) == 0
    dots = [tuple(dot.get_offsets()[0]) for dot in axis.collections]
    assert dots == [(2.75, 0), (2.0, 1), (5.5e4, 2)]
    assert axis.get_xlim()[0] < 2.0


def test_what_stands_apart_has_an_axis_of_its_own_and_does_not_dwarf_the_others():
    figure = bar_chart(NEAR, label="norm", title="T", apart=[Bar("product", 40.0, "probable")])
    layers, network = figure.axes
    assert layers.get_xlim()[1] < 4 < 40 < network.get_xlim()[1]
    assert [label.get_text() for label in network.get_yticklabels()] == ["product"]
    assert (layers.get_title(loc="left"), layers.get_xlabel()) == ("T", "")
    assert network.get_xlabel() == "norm"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["exact", "upper", "probable"]
    alone = bar_chart([], label="norm", apart=NEAR)
    assert len(alone.axes) == 1


@pytest.mark.parametrize("others", [[], NEAR, [Bar("product", 1e9, "upper")]])
def test_an_infinite_value_is_marked_and_leaves_the_scale_alone(others: list[Bar]) -> None:
    figure = bar_chart([*others, Bar("lstm", math.inf, "upper")], label="norm")
    axis = figure.axes[0]
    assert axis.texts[-1].get_text() == "∞: no bound known"
    assert axis.patches[-1].get_hatch()
    assert all(map(math.isfinite, axis.get_xlim()))
    assert png(figure).startswith(b"\x89PNG")


def test_nought_is_a_value_on_both_scales():
    for others in (NEAR, [Bar("a", 1e-3, "exact"), Bar("b", 1e3, "exact")]):
        axis = bar_chart([*others, Bar("zero", 0.0, "exact")], label="norm").axes[0]
        assert axis.texts[-1].get_text() == "0"
        assert axis.texts[-1].xy == (max(0.0, axis.get_xlim()[0]), len(others))


def test_what_cannot_be_drawn_is_refused_with_its_name():
    with pytest.raises(ValueError, match="no bar"):
        bar_chart([], label="norm")
    for value in (math.nan, -1.0):
        with pytest.raises(ValueError, match=r"bar 'fc': a value is zero or more"):
            bar_chart([Bar("fc", value, "exact")], label="norm")


def test_a_number_can_be_written_as_the_caller_rounds_it() -> None:
    bars = [Bar("conv1", 1.23401, "upper", "1.235"), Bar("pool", 1.23401, "exact")]
    assert [text.get_text() for text in bar_chart(bars, label="norm").axes[0].texts] == [
        "1.235", "1.234",
    ]  # fmt: skip


def test_the_legend_gives_the_probability_with_which_all_bars_of_the_kind_hold() -> None:
    norms = [Norm(2.0, "probable", 1e-9), Norm(3.00001, "probable", 3e-9), Norm(1.0)]
    figure = bar_chart([norm_bar("layer", norm) for norm in norms], label="norm")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["probable, 1 - 3e-9", "exact"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "3.001", "1"]


@pytest.mark.parametrize("far", [11.0, 1e4])
def test_values_beside_the_bars_are_marked_inside_the_axis_and_explained(far: float) -> None:
    norms = [Norm(2.0), Norm(3.0), Norm(math.inf, "upper")]
    values = (far, None, 1.0)
    bars = [norm_bar("layer", *pair) for pair in zip(norms, values, strict=True)]
    figure = bar_chart(bars, label="norm", beside="the paper's")
    (marks,) = figure.axes[0].lines
    assert list(zip(*marks.get_data(), strict=True)) == [(far, 0), (1.0, 2)]
    assert figure.axes[0].get_xlim()[1] > far
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "the paper's"]
