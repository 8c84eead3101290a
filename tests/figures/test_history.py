import math

from lit_intriguing.figures.canvas import new_figure
from lit_intriguing.figures.history import Moment, draw_history, history_panels

HISTORY = [Moment(10, 1.0, 0.06, 0.05), Moment(20, 0.5, 0.08, 0.07)]


def axes_of(history: list[Moment]) -> list:
    figure = new_figure(8, 2)
    (part,) = figure.subfigures(1, 1, squeeze=False)[:, 0]
    draw_history(part, history, history_panels(history))
    return figure.axes


def test_distortion_and_success_are_drawn_over_the_steps() -> None:
    left, right = axes_of(HISTORY)
    assert [list(line.get_ydata()) for line in left.lines] == [[0.06, 0.08], [0.05, 0.07]]
    assert list(right.lines[0].get_ydata()) == [100.0, 50.0]
    assert list(right.lines[0].get_xdata()) == [10, 20]


def test_success_that_never_changes_is_written_in_place_of_a_flat_line_on_an_edge() -> None:
    always = [Moment(step, 1.0, 0.06, 0.05) for step in (10, 20, 30)]
    (axis,) = axes_of(always)
    assert axis.get_title(loc="left").endswith("successful ones (RMS); success always 100%")
    assert len(axis.lines) == 2


def test_there_is_nothing_to_draw_of_one_moment_or_without_a_success() -> None:
    failures = [Moment(step, 0.0, math.nan, math.nan) for step in (1, 2)]
    assert history_panels(HISTORY[:1]) == history_panels([]) == history_panels(failures) == []
    assert history_panels([failures[0], HISTORY[0]]) == ["distortion", "success"]
