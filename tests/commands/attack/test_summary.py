"""The numbers of an attack."""

import csv
import io
import math

import pytest
import torch

from lit_intriguing.commands.attack.summary import Summary, summarise

COLUMNS = {
    "labels": torch.tensor([0, 1, 2, 0]),
    "predictions": torch.tensor([0, 1, 2, 1]),
    "adversarial_predictions": torch.tensor([1, 2, 2, 1]),
    "attacked": torch.tensor([True, True, True, False]),
    "success": torch.tensor([True, True, False, False]),
    "distortion": torch.tensor([0.1, 0.3, 9.0, 0.0]),
    "queries": torch.tensor([10, 20, 30, 0]),
    "c": torch.tensor([1.0, 3.0, 9.0, math.nan]),
}


def test_each_number_is_over_the_images_it_should_be_over() -> None:
    found = summarise(COLUMNS, 2.345)
    assert (found.images, found.attacked) == (4, 3)
    assert (found.accuracy, found.accuracy_after) == (0.75, 0.25)
    assert found.success == pytest.approx(2 / 3)
    assert found.distortion == pytest.approx(0.2)
    assert found.median_distortion == pytest.approx(0.2)
    assert (found.c, found.gradients, found.seconds) == (2.0, 20.0, 2.35)


def test_c_is_shown_where_there_is_one() -> None:
    assert "c                    2 mean, of successes" in summarise(COLUMNS, 1.0).text()
    without = {name: column for name, column in COLUMNS.items() if name != "c"}
    assert "\nc " not in summarise(without, 1.0).text()


def test_the_papers_distortion_stands_beside_ours() -> None:
    found = summarise(COLUMNS, 1.0)
    expected = "distortion           0.2 mean, 0.2 median, of successes (paper: 0.006508 mean)"
    assert expected in found.text(0.006508).splitlines()
    assert "paper" not in found.text()


def test_without_an_attacked_image_the_means_are_unknown() -> None:
    none = {name: column[3:] for name, column in COLUMNS.items()}
    found = summarise(none, 0.0)
    assert found.attacked == 0
    assert all(math.isnan(one) for one in (found.success, found.distortion, found.gradients))


def test_a_summary_stored_by_an_earlier_version_is_read() -> None:
    found = summarise(COLUMNS, 2.5)
    stored = vars(found).copy()
    assert Summary.of(stored) == found
    assert Summary.of({"rows": stored.pop("images"), **stored}) == found


def test_the_table_is_read_back(tmp_path) -> None:
    (row,) = csv.DictReader(io.StringIO(summarise(COLUMNS, 2.5).csv()))
    assert (row["images"], row["attacked"], row["seconds"]) == ("4", "3", "2.5")
