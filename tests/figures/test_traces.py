import pytest
import torch

from lit_intriguing.attacks.watch import Trace
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.traces import (
    COLUMNS,
    success_so_far,
    trace_names,
    trace_rows,
    traces_figure,
)


def trace(example: int, losses: list[float], success: list[bool]) -> Trace:
    values = torch.tensor(losses)
    return Trace(example, values, values / 10, torch.tensor(success))


TRACES = [
    trace(3, [2.0, 1.0, 0.5], [False, True, False]),
    trace(7, [4.0, 0.2], [False, True]),
]


def test_each_example_is_a_line_of_loss_and_of_distortion_with_dots_at_its_goal():
    figure = traces_figure(TRACES, ["a", "b"], title="T")
    loss, moved, share = figure.axes
    assert loss.lines[0].get_xydata().tolist() == [[1.0, 2.0], [2.0, 1.0], [3.0, 0.5]]
    assert loss.lines[1].get_ydata().tolist() == pytest.approx([4.0, 0.2])
    assert [dots.get_offsets()[:, 0].tolist() for dots in moved.collections] == [[2.0], [2.0]]
    so_far, now = share.lines
    assert so_far.get_ydata().tolist() == [0.0, 100.0, 100.0]
    assert now.get_ydata().tolist() == [0.0, 100.0, 50.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert png(figure).startswith(b"\x89PNG")


def test_an_example_whose_attack_has_ended_stands_as_it_ended():
    now, ever = success_so_far(TRACES)
    assert now.tolist() == [0.0, 1.0, 0.5]
    assert ever.tolist() == [0.0, 1.0, 1.0]


def test_the_table_has_a_row_for_each_call():
    rows = trace_rows(TRACES)
    assert len(rows) == 5
    assert dict(zip(COLUMNS, rows[1], strict=True)) == {
        "example": 3, "call": 2, "loss": 1.0, "distortion": pytest.approx(0.1), "success": "True",
    }  # fmt: skip


def test_an_example_is_called_by_its_number_label_and_prediction():
    columns = {
        "labels": torch.arange(8),
        "adversarial_predictions": torch.arange(8).flip(0),
    }
    assert trace_names(TRACES, columns) == ["3: 3 → 4", "7: 7 → 0"]
    assert trace_names(TRACES[:1], columns, list("abcdefgh")) == ["3: d → e"]


@pytest.mark.parametrize(
    ("traces", "names", "message"),
    [([], [], "no call"), ([trace(0, [], [])], ["a"], "no call"), (TRACES, ["a"], "1 names for 2")],
)
def test_what_cannot_be_drawn_is_refused(traces, names, message):
    with pytest.raises(ValueError, match=message):
        traces_figure(traces, names)
