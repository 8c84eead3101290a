"""Each kind of result is read with its numbers, intervals and the paper's."""

from pathlib import Path

import pytest

from lit_intriguing.commands.ablate import output as ablation
from lit_intriguing.commands.report.found import find_results
from lit_intriguing.commands.report.result import Result, Value, number, rows_of
from tests.commands.report import folders


def read(root: Path) -> Result:
    (result,) = find_results(root)
    assert result.problem == ""
    return result


def test_transfer_has_errors_with_intervals_and_the_papers_numbers(tmp_path: Path) -> None:
    folders.transfer(tmp_path / "t")
    result = read(tmp_path)
    assert (result.kind, result.folder) == ("transfer", "t")
    rows = {row[0]: row[1:] for row in result.tables[0].rows}
    assert rows["test error"] == ["", Value("1.2", "0.2 to 2.2", "1.5"),
                                  Value("2.5", "1.5 to 3.5", "1.5")]  # fmt: skip
    assert rows["for B"][0] == Value("0.0700", paper="0.065")
    assert rows["for A, amplified to 0.1"][2] == "failed"
    assert result.notes == ["for A, amplified to 0.1, B: failed"]
    assert [one.content for one in result.pictures] == [tmp_path / "t" / "transfer.png"]


def test_transfer_has_networks_as_table_1_does_and_parts_for_claims(tmp_path: Path) -> None:
    folders.transfer(tmp_path)
    result = read(tmp_path)
    (networks,) = result.shown_as("networks")
    assert networks.columns == ["network", "test error", "distortion"]
    assert networks.rows[1] == ["B", Value("2.5", "1.5 to 3.5", "1.5"),
                                Value("0.0700", paper="0.065")]  # fmt: skip
    assert result.parts["errors"] == "test error: A 1.2%, B 2.5%"
    assert result.parts["distances"].endswith("0.0500 (A), 0.0700 (B)")
    assert result.parts["transfer"] == (
        "examples fool other networks in 20.0 to 30.0%, amplified to 0.1 in none; "
        "noise 0.3: 9.0% wrong"
    )


def test_probing_has_lines_and_noise_in_percent(tmp_path: Path) -> None:
    folders.probes(tmp_path)
    result = read(tmp_path)
    along, around = result.tables
    assert along.columns == ["network, direction", "0.5", "1"]
    assert along.rows[0] == ["A, adversarial", Value("12.5", "6.2 to 12.5"),
                             Value("50.0", "25.0 to 50.0")]  # fmt: skip
    assert [row[0] for row in around.rows] == ["A, 0", "A, 1"]
    assert result.headline == "A: 75.0% wrong in noise of 0.1 around examples"


def test_bounds_have_the_papers_and_say_what_is_not_bounded(tmp_path: Path) -> None:
    folders.lipschitz(tmp_path)
    result = read(tmp_path)
    layers, network = result.tables
    assert layers.rows[0][3] == Value("2.5", paper="2.75")
    assert layers.rows[1][3] == Value("inf")
    assert list(network.rows[0]) == [
        "network, product bound", "not bounded", "unknown", "no rule for Odd",
    ]  # fmt: skip
    assert result.notes == [
        "two: no rule for Odd", "norm: folded into one", "conv: with the padding of pad",
    ]  # fmt: skip


def test_of_the_layers_that_are_bounded_only_those_folded_into_another_are_left_out(
    tmp_path: Path,
) -> None:
    folders.lipschitz(tmp_path)
    head = read(tmp_path).headline
    assert head == "2 of 3 layers bounded, 1.5 to 2.5; 25.0% of 8 images certified at radius 0.5"


def test_units_have_effects_and_leave_silent_layers_out_of_the_headline(tmp_path: Path) -> None:
    folders.unit_analysis(tmp_path)
    result = read(tmp_path)
    rows = result.tables[0].rows
    assert rows[0][4] == Value("+0.05", "-0.15 to +0.26")
    assert rows[2][-1] == "no active unit"
    assert result.headline == "hidden1 +0.05 [-0.15, +0.26] (no distinction)"
    assert result.pictures[0].alt.startswith("Layer hidden1: images at the top of units")


def test_an_ablation_has_intervals_over_seeds_and_names_failures(tmp_path: Path) -> None:
    folders.ablated(tmp_path)
    result = read(tmp_path)
    assert result.tables[0].rows[0][2] == Value("1.13", "0.75 to 1.51")
    assert result.tables[0].rows[1][2] == Value("1.00")
    assert result.headline == "input 1.13% [0.75, 1.51]; all 1.00%"
    assert result.notes == ["all: 2 runs failed"]


def test_rows_that_an_ablation_compares_have_a_table(tmp_path: Path) -> None:
    folders.ablated(tmp_path)
    assert len(read(tmp_path).tables) == 1
    lines = [ablation.COMPARISON_COLUMNS, ("input", "none", "-0.70", "-0.95", "-0.45", 3)]
    lines += [("all", "none", "+0.40", "", "", 1)]
    text = "".join(f"{','.join(map(str, line))}\r\n" for line in lines)
    (tmp_path / "comparison.csv").write_text(text)
    rows = read(tmp_path).tables[1].rows
    assert rows[0][:3] == ["input", "none", Value("-0.70", "-0.95 to -0.45")]
    assert rows[1][:3] == ["all", "none", Value("+0.40")]


def test_an_attack_has_shares_with_wilson_intervals(tmp_path: Path) -> None:
    folders.attacked(tmp_path)
    result = read(tmp_path)
    rows = {row[0]: row[1] for row in result.tables[0].rows}
    # Wilson's for 8 of 8: 1 / (1 + 1.95996^2 / 8).
    assert rows["goal reached, %"] == Value("100.00", "67.56 to 100.00")
    assert result.headline == "8 of 8 images reach their goal, at a mean distortion of 0.04"


def test_an_attack_with_nothing_to_attack_is_read(tmp_path: Path) -> None:
    folders.attacked(tmp_path, attacked=0)
    assert read(tmp_path).headline.startswith("0 of 0 images")


def test_a_training_has_its_error_seed_and_curves(tmp_path: Path) -> None:
    folders.trained(tmp_path / "lightning_logs" / "version_0", seed=7)
    result = read(tmp_path)
    assert result.error == pytest.approx(1.25)
    assert (result.seed, result.headline) == ("7", "test error 1.25%, seed 7, 40 steps")
    loss, error = result.pictures
    assert loss.alt == "Curve of loss against steps: train/loss from 2 to 0.05"
    assert error.alt.startswith("Curve of error against steps: train/batch_error from 0.5")
    assert result.settings == "seed_everything: 7\n"


def test_a_training_without_a_test_says_so(tmp_path: Path) -> None:
    folders.trained(tmp_path, error=None)
    result = read(tmp_path)
    assert result.error is None
    assert result.headline.startswith("not tested")


def test_errors_under_attack_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("norm,size,error\nl2,0.5,12.3456789\n")
    assert read(tmp_path).tables[0].rows == [["l2", "0.5", "12.35"]]


@pytest.mark.parametrize("text", ["", "set,kind\n", "set,kind\nclean\n", "other\n1\n", "\0"])
def test_a_file_that_is_cut_short_or_of_something_else_is_named(tmp_path: Path, text: str) -> None:
    folders.trained(tmp_path / "good")
    (tmp_path / "transfer.csv").write_text(text)
    good, bad = find_results(tmp_path)
    assert bad.problem.startswith("transfer.csv cannot be read: ")
    assert good.problem == ""


@pytest.mark.parametrize("name", ["manifest.json", "config.yaml"])
def test_a_file_of_another_program_beside_a_training_is_told(tmp_path: Path, name: str) -> None:
    (folders.trained(tmp_path / "bad") / name).write_text("[1]")
    folders.trained(tmp_path / "good")
    bad, good = find_results(tmp_path)
    assert bad.problem == "metrics.csv cannot be read: a file beside it is of another program"
    assert good.problem == ""


def test_what_has_the_name_of_a_result_and_is_no_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "a" / "metrics.csv").mkdir(parents=True)
    assert find_results(tmp_path) == []


def test_results_kept_aside_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    folders.transfer(tmp_path / "earlier-1")
    folders.transfer(tmp_path / ".hidden")
    assert find_results(tmp_path) == []


def test_a_row_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(ValueError, match="too short or too long"):
        rows_of(path)
    with pytest.raises(ValueError, match="could not convert"):
        number("many", "g")
