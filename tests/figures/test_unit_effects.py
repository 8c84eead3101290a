import math
from dataclasses import replace

import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.unit_effects import effect_history_figure, effects_figure
from lit_intriguing.units.analysis import LayerAnalysis
from lit_intriguing.units.statistics import Effect

NOTHING = torch.zeros(0)


def analysis(layer: str, network: str, value: float, verdict: str) -> LayerAnalysis:
    found = Effect(value, value - 0.1, value + 0.2)
    return LayerAnalysis(
        layer, network, "units", 10, NOTHING, NOTHING, NOTHING, NOTHING,
        effect=found, verdict=verdict,
    )  # fmt: skip


def analyses() -> list[LayerAnalysis]:
    return [
        analysis("conv1", "trained", -0.4, "no distinction"),
        analysis("conv1", "untrained", 0.1, "no distinction"),
        analysis("fc", "trained", 2.0, "units"),
        analysis("fc", "untrained", 0.2, "no distinction"),
    ]


def test_a_mark_for_each_layer_and_network_with_its_interval_and_verdict():
    figure = effects_figure(analyses(), title="Units")
    (axis,) = figure.axes
    trained, untrained = axis.containers
    assert trained[0].get_xdata().tolist() == [-0.4, 2.0]
    assert untrained[0].get_xdata().tolist() == [0.1, 0.2]
    ends = [segment[:, 0].tolist() for segment in trained[2][0].get_segments()]
    assert ends == [pytest.approx([-0.5, -0.2]), pytest.approx([1.9, 2.2])]
    # Above and below the middle of their layer, which count from the top.
    assert trained[0].get_ydata().tolist() == pytest.approx([-0.18, 0.82])
    assert untrained[0].get_ydata().tolist() == pytest.approx([0.18, 1.18])
    assert [text.get_text() for text in axis.texts] == [
        "verdict, trained", "no distinction", "units",
    ]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["trained", "untrained"]
    assert axis.yaxis_inverted()
    assert png(figure).startswith(b"\x89PNG")


def test_a_layer_without_result_keeps_its_line_and_says_why():
    dead = replace(
        analysis("fc", "trained", math.nan, "undecided"), note="dead: no direction is active"
    )
    figure = effects_figure([analyses()[0], dead])
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts[1:]] == ["no distinction", "dead"]
    assert png(figure)


def test_bases_are_series_of_their_own():
    other = replace(analyses()[0], basis="principal components")
    figure = effects_figure([analyses()[0], other])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["trained", "trained, principal components"]


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no analysis"):
        effects_figure([])


def test_effects_over_steps_with_gaps():
    effects = [Effect(0.1, 0.0, 0.2), Effect(math.nan, math.nan, math.nan), Effect(0.5, 0.4, 0.6)]
    figure = effect_history_figure([1, 2, 3], {"fc": effects, "out": effects[::-1]})
    (axis,) = figure.axes
    values = axis.lines[1].get_ydata()
    assert values[0] == 0.1
    assert math.isnan(values[1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fc", "out"]
    assert png(figure).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no effect"):
        effect_history_figure([], {})


INFINITE = Effect(-math.inf, -math.inf, -math.inf)


def test_what_is_infinite_is_an_arrow_inside_the_edge_and_the_label_says_so():
    low = replace(analyses()[1], effect=Effect(0.3, -math.inf, 0.4))
    figure = effects_figure([replace(analyses()[0], effect=INFINITE), low, *analyses()[2:]])
    (axis,) = figure.axes
    arrows = [line for line in axis.lines if line.get_marker() in ("<", ">")]
    assert [line.get_marker() for line in arrows] == ["<", "<"]
    left, right = axis.get_xlim()
    assert all(left < line.get_xdata()[0] < left + 0.05 * (right - left) for line in arrows)
    bars = [line.get_xdata() for line in axis.lines if len(line.get_xdata()) == 2]
    assert [0.3, arrows[1].get_xdata()[0]] in [list(bar) for bar in bars]
    assert "arrows: infinite" in axis.get_xlabel()
    assert "arrows" not in effects_figure(analyses()).axes[0].get_xlabel()


def test_an_infinite_effect_of_a_run_is_an_arrow_at_its_step():
    history = effect_history_figure([1, 2], {"fc": [Effect(0.1, 0.0, 0.2), INFINITE]})
    (arrow,) = [line for line in history.axes[0].lines if line.get_marker() == "v"]
    assert (list(arrow.get_xdata()), list(arrow.get_ydata())) == ([2], [0.0])


def test_the_legend_of_many_series_lies_inside_the_figure() -> None:
    many = [
        replace(one, basis=basis)
        for one in analyses()
        for basis in ("units", "principal components", "directions of the user")
    ]
    figure = effects_figure(many)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert len(figure.legends[0].get_texts()) == 6
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 <= figure.bbox.height
