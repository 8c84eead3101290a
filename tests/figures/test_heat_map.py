import pytest
import torch

from lit_intriguing.figures import heat_map
from lit_intriguing.figures.canvas import png

VALUES = torch.tensor([[100.0, 5.04], [float("nan"), 0.0]])


def test_each_cell_has_its_number_and_one_without_a_number_is_empty_and_grey():
    figure = heat_map(VALUES, ["for a", "for b"], ["a", "b"], title="Table")
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["100.0", "5.0", "", "0.0"]
    assert axis.images[0].get_array().mask.tolist() == [[False, False], [True, False]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["for a", "for b"]
    assert axis.get_title(loc="left") == "Table"
    assert png(figure).startswith(b"\x89PNG")


def test_texts_take_the_place_of_the_numbers():
    axis = heat_map(VALUES, ["x", "y"], ["a", "b"], texts=[["1", "2"], ["failed", "4"]]).axes[0]
    assert [text.get_text() for text in axis.texts] == ["1", "2", "failed", "4"]


@pytest.mark.parametrize(
    ("values", "rows", "texts", "message"),
    [
        (VALUES, ["x"], None, r"shape \(2, 2\) for 1 rows and 2 columns"),
        (torch.zeros(0, 2), [], None, r"shape \(0, 2\)"),
        (VALUES, ["x", "y"], [["1", "2"], ["3"]], "texts must be 2 lists of 2"),
    ],
)
def test_what_does_not_fit_is_refused(values, rows, texts, message):
    with pytest.raises(ValueError, match=message):
        heat_map(values, rows, ["a", "b"], texts=texts)
