import math

import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.transfer import TransferMoment, transfer_figure

ROWS = ["clean", "for current", "for step 9"]
HISTORY = [
    TransferMoment(9, {"success": 1.0}),
    TransferMoment(18, {"success": 0.5, "from/earlier": 0.25}),
]


def test_a_network_alone_is_drawn_as_bars_with_their_numbers():
    figure = transfer_figure(torch.tensor([[3.125], [100.0], [math.nan]]), ROWS, ["current"])
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [3.125, 100.0, 0.0]
    assert [text.get_text() for text in axis.texts] == ["3.1", "100.0", "no examples"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ROWS
    assert axis.get_xlabel() == "error of the network on these images, %"
    assert png(figure).startswith(b"\x89PNG")


def test_several_networks_are_a_heat_map_with_named_rows_and_columns():
    axis = transfer_figure(torch.eye(3), ROWS, ["current", "a", "b"]).axes[0]
    assert axis.images[0].get_array().shape == (3, 3)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["current", "a", "b"]
    assert axis.get_ylabel() == "images"


def test_from_the_second_moment_on_the_shares_are_curves_in_per_cent():
    values = torch.ones(3, 1)
    assert len(transfer_figure(values, ROWS, ["current"], HISTORY[:1]).axes) == 1
    figure = transfer_figure(values, ROWS, ["current"], HISTORY, title="T")
    curves = {line.get_label(): line for line in figure.axes[1].lines}
    assert curves["success"].get_xydata().tolist() == [[9.0, 100.0], [18.0, 50.0]]
    assert curves["from/earlier"].get_xydata().tolist() == [[18.0, 25.0]]
    assert figure.get_suptitle() == "T"


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 1\) for 3 rows and 2 columns"):
        transfer_figure(torch.ones(3, 1), ROWS, ["current", "a"])
