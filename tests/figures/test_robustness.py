"""Error against size: what is drawn where."""

import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.robustness import ErrorMoment, ErrorPanel, robustness_figure

FOUND = torch.tensor([0.0, 0.4, 0.9, torch.inf])
CERTIFIED = torch.tensor([0.0, 0.1, 0.2, 0.3])


def panel(**options: torch.Tensor | None) -> ErrorPanel:
    return ErrorPanel("L2", [0.5, 1.0], {"found": FOUND}, options.get("certified"))


def test_the_dots_stand_at_the_sizes_with_their_errors() -> None:
    figure = robustness_figure([panel()])
    (axis,) = figure.subfigs[0].axes
    (dots,) = axis.collections
    assert dots.get_offsets().tolist() == [[0.5, 50.0], [1.0, 75.0]]
    assert {text.get_text() for text in axis.texts} == {"50.0", "75.0"}
    assert len(png(figure)) > 1000


def test_what_is_not_known_is_shaded_between_the_two_curves() -> None:
    (axis,) = robustness_figure([panel(certified=CERTIFIED)]).subfigs[0].axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["not known", "not certified", "found"]
    possible, worst = (line.get_ydata() for line in axis.lines)
    assert (possible >= worst).all()
    assert possible[-1] == 100.0


def test_the_run_is_drawn_from_the_second_moment_on() -> None:
    moments = [ErrorMoment(10, {"clean": 0.5}), ErrorMoment(20, {"clean": 0.25, "l2_1": 0.75})]
    assert len(robustness_figure([panel()], moments[:1]).subfigs) == 1
    (axis,) = robustness_figure([panel()], moments).subfigs[1].axes
    assert [list(line.get_ydata()) for line in axis.lines] == [[50.0, 25.0], [75.0]]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        robustness_figure([])
