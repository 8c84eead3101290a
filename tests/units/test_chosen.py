import math
from dataclasses import replace

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.units.analysis import LayerAnalysis
from lit_intriguing.units.chosen import chosen


def analysis() -> LayerAnalysis:
    coherence = torch.tensor([0.1, 0.5, math.nan, 0.9, 0.3], dtype=torch.float64)
    random = torch.arange(8.0).view(2, 4) / 8
    top = torch.arange(10).view(5, 2)
    random_top = 100 + torch.arange(16).view(2, 4, 2)
    return LayerAnalysis("fc", "trained", "units", 50, coherence, random, top, random_top)


def test_quantiles_of_both_sides_from_the_most_coherent_on() -> None:
    own, random = chosen(analysis(), rows=2)
    assert own.names == ("unit 1", "unit 0")
    assert own.indices.tolist() == [[2, 3], [0, 1]]
    assert own.coherence.tolist() == [0.5, 0.1]
    assert random.names == ("random 5", "random 1")
    assert random.indices.tolist() == [[110, 111], [102, 103]]


def test_the_best_of_both_sides_and_no_more_than_there_are() -> None:
    own, random = chosen(analysis(), rows=6, choice="best")
    assert own.coherence.tolist() == [0.9, 0.5, 0.3, 0.1]
    assert len(random.names) == 6
    assert random.coherence[0] == 0.875


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match="'fc' has nothing to draw: dead"):
        chosen(replace(analysis(), note="dead"))
    with pytest.raises(UserError, match="rows"):
        chosen(analysis(), rows=0)
