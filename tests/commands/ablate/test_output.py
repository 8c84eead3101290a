import csv
import math

import pytest
from scipy.stats import ttest_rel

from lit_intriguing.commands.ablate.output import (
    RowSummary,
    Sample,
    choose,
    comparison_table,
    failures,
    final_table,
    write_files,
)
from lit_intriguing.training_runs.store import Result


def sample(*errors):
    return Sample([Result(1, failure=e) if isinstance(e, str) else Result(1, e) for e in errors])


ROWS = {
    "a|b": RowSummary(
        [{}, {"lr": 1}], [sample(0.02), sample(0.01)], 1, sample(0.01, 0.02, 0.03, "E: boom")
    ),
    "lost": RowSummary([{}, {}], [sample("E: out"), sample("E: out")], None, sample()),
}


def test_the_lowest_mean_is_chosen_and_the_first_of_equals():
    assert choose([sample(0.03, 0.01), sample(0.01, 0.02), sample(0.01, 0.02)]) == 1


def test_a_candidate_with_a_failed_run_is_out():
    assert choose([sample(0.01, "E: boom"), sample(0.02, 0.02)]) == 1
    assert choose([sample("E: boom")]) is None


def test_statistics_are_in_per_cent_with_the_sample_deviation():
    assert sample(0.01, 0.03).mean == pytest.approx(2)
    assert sample(0.01, 0.03).deviation == pytest.approx(math.sqrt(2))
    assert math.isnan(sample(0.01).deviation)
    assert math.isnan(sample().mean)


def test_the_table_tells_what_was_lost():
    assert final_table(ROWS) == [
        ["a|b", "2 of 2", "2.00", "1.00", "1.00", "3.00", 3, 1],
        ["lost", "none", "", "", "", "", 0, 0],
    ]


def test_failures_are_named_once_with_their_row():
    assert failures(ROWS) == ["a|b: E: boom", "lost: E: out"]


COMPARED = {
    "none": RowSummary([{}], [], 0, sample(0.020, 0.022, "E: boom", 0.021)),
    "input": RowSummary([{}], [], 0, sample(0.013, 0.014, 0.012, 0.015), "none"),
    "one seed": RowSummary([{}], [], 0, sample("E: a", "E: b", "E: c", 0.025), "none"),
    "not run": RowSummary([{}, {}], [sample(), sample()], None, sample(), "none"),
    "alone": RowSummary([{}], [], 0, sample(0.013), "left out by --only"),
}


def test_rows_are_compared_by_the_seeds_that_both_have():
    interval = ttest_rel([1.3, 1.4, 1.5], [2.0, 2.2, 2.1]).confidence_interval()
    assert comparison_table(COMPARED) == [
        ["input", "none", "-0.70", f"{interval.low:+.2f}", f"{interval.high:+.2f}", 3],
        ["one seed", "none", "+0.40", "", "", 1],
        ["not run", "none", "", "", "", 0],
    ]


def test_comparisons_have_a_table_in_the_page_and_a_file(tmp_path):
    write_files(COMPARED, tmp_path, title="Study", reference=None, reference_label="")
    assert "| input | none | -0.70 | " in (tmp_path / "ablation.md").read_text()
    with (tmp_path / "comparison.csv").open(newline="") as file:
        assert [line["difference"] for line in csv.DictReader(file)] == ["-0.70", "+0.40", ""]


def test_without_comparisons_there_is_neither(tmp_path):
    (tmp_path / "comparison.csv").write_text("of an older study")
    write_files(ROWS, tmp_path, title="Study", reference=None, reference_label="")
    assert "Compared" not in (tmp_path / "ablation.md").read_text()
    assert not (tmp_path / "comparison.csv").exists()


def test_three_files_are_written(tmp_path):
    write_files(ROWS, tmp_path, title="Study", reference=1.2, reference_label="paper")
    with (tmp_path / "ablation.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["seeds"] == "1.00 2.00 3.00"
    assert lines[0]["mean"] == "2.00"
    page = (tmp_path / "ablation.md").read_text()
    assert "| a\\|b | 2 of 2 | 2.00 | 1.00 | 1.00 | 3.00 | 3 | 1 |" in page
    assert "| a\\|b | 2 (chosen) | lr = 1 | 1.00 |  | 1 | 0 |" in page
    assert "- lost: E: out" in page
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
