import io
import json
import re

import pytest

from lit_intriguing.commands.ablate.options import Ablation
from lit_intriguing.commands.ablate.plan import Row
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.training_runs.provenance import this_program
from lit_intriguing.training_runs.store import Stage
from lit_intriguing.whole_files import read_checked_json, write_checked_json


class Table:
    """Stands in for training: an error for each learning rate, stage and seed; keeps a record."""

    def __init__(self, broken=()):
        self.broken = broken
        self.runs = []

    def __call__(self, run):
        self.runs.append(run)
        rate, seed = run.config["lr"], run.config["seed_everything"]
        if (run.stage, rate, seed) in self.broken:
            raise ValueError("diverged\nat step 3")
        # On the test set the order of the candidates is the other way round.
        return (0.1 + 0.01 * rate if run.stage is Stage.TUNE else 0.5 - 0.01 * rate) + seed / 1000


def study(tmp_path, **changes):
    base = tmp_path / "base.yaml"
    base.write_text("seed_everything: 9\nlr: 5\ndata: {validation: 0}\n")
    values = {
        "base": str(base),
        "rows": {"a": Row([{}, {"lr": 2}]), "b": Row([{"lr": 3}, {"lr": 4}])},
        "seeds": [0, 1, 2],
        "tune_seeds": [7, 8],
        "tuning": {"data": {"validation": 10}},
        "out_dir": str(tmp_path / "out"),
        "workers": 0,
    }
    return Ablation(**(values | changes))


def test_candidates_are_chosen_by_validation_and_never_by_test_error(tmp_path):
    measure = Table()
    rows = study(tmp_path).run(measure, io.StringIO())
    assert {name: row.chosen for name, row in rows.items()} == {"a": 1, "b": 0}
    assert rows["a"].final.percents == pytest.approx([48.0, 48.1, 48.2])
    final = [run.config for run in measure.runs if run.stage is Stage.FINAL]
    assert {config["lr"] for config in final} == {2, 3}
    assert {config["data"]["validation"] for config in final} == {0}
    assert len(measure.runs) == 2 * 2 * 2 + 2 * 3


def test_a_row_is_compared_with_another_in_what_is_printed(tmp_path):
    output = io.StringIO()
    rows = {"a": Row([{"lr": 1}]), "b": Row([{"lr": 3}], against="a")}
    study(tmp_path, rows=rows).run(Table(), output)
    assert "b    a             -2.00  -2.00  -2.00  3" in output.getvalue()


def test_a_second_call_trains_nothing_and_gives_the_same_table(tmp_path, capsys):
    study(tmp_path).run(Table())
    first = capsys.readouterr().out
    again = Table()
    study(tmp_path).run(again)
    assert again.runs == []
    assert capsys.readouterr().out == first


def test_a_stopped_study_goes_on_where_it_was(tmp_path):
    class Stopped(Table):
        def __call__(self, run):
            if len(self.runs) == 5:
                raise KeyboardInterrupt
            return super().__call__(run)

    with pytest.raises(KeyboardInterrupt):
        study(tmp_path).run(Stopped())
    rest = Table()
    study(tmp_path).run(rest, io.StringIO())
    assert len(rest.runs) == 14 - 5


def test_a_failed_run_loses_no_other_and_is_named_and_tried_again(tmp_path, capsys):
    with pytest.raises(UserError, match=r"runs failed.*\n  a: ValueError: diverged at step 3\n"):
        study(tmp_path).run(Table(broken={(Stage.FINAL, 2, 1)}))
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "2", "of", "2", "48.10", "0.14", "48.00", "48.20", "2", "1"] in table
    again = Table()
    study(tmp_path).run(again, io.StringIO())
    assert [run.config["seed_everything"] for run in again.runs] == [1]


def test_a_candidate_that_fails_in_tuning_is_not_chosen(tmp_path):
    with pytest.raises(UserError, match="a: ValueError: diverged"):
        study(tmp_path).run(Table(broken={(Stage.TUNE, 2, 7)}), io.StringIO())
    page = (tmp_path / "out/ablation.md").read_text()
    assert "| a | 1 of 2 | 45.10 |" in page


def test_rows_with_equal_configurations_share_their_runs(tmp_path):
    measure = Table()
    rows = {"a": Row([{}]), "same": Row([{"lr": 5}])}
    study(tmp_path, rows=rows).run(measure, io.StringIO())
    assert len(measure.runs) == 3


def test_the_bar_reaches_its_total_where_rows_share_runs(tmp_path, capsys):
    rows = {"a": Row([{}, {"lr": 2}]), "same": Row([{"lr": 5}, {"lr": 2}]), "b": Row([{}, {}])}
    study(tmp_path, rows=rows).run(Table())
    lines = capsys.readouterr().err.splitlines()
    # Two distinct candidates under two seeds; the rows then choose them under three.
    assert lines[0].startswith("1 of 13 runs")  # nine reported runs expected, six made
    assert lines[-1].startswith("10 of 10 runs")
    assert len(lines) == 10


def foreign_result(folder):
    """Makes one stored result look as if other sources had made it; returns its file."""
    file = sorted((folder / "out/runs").glob("*.json"))[0]
    content = read_checked_json(file, "")
    content["program"] = {"version": "0.0.1", "sources": "other"}
    write_checked_json(file, content)
    return file


def test_results_of_other_sources_are_used_and_told_in_one_line(tmp_path, capsys):
    study(tmp_path).run(Table())
    foreign_result(tmp_path)
    capsys.readouterr()
    again = Table()
    study(tmp_path).run(again)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"note: 1 results in .*/runs \(rows '[ab]'\) were made by other sources", line)
    assert line.endswith("--redo=true trains them again, another --out_dir trains all.")
    assert again.runs == []


def test_redo_trains_again_what_other_sources_made_and_nothing_else(tmp_path, capsys):
    study(tmp_path).run(Table())
    file = foreign_result(tmp_path)
    again = Table()
    study(tmp_path, redo=True).run(again)
    assert len(again.runs) == 1
    assert json.loads(file.read_text())["program"] == this_program()
    assert "note:" not in capsys.readouterr().err


def test_only_runs_the_rows_asked_for(tmp_path):
    assert list(study(tmp_path, only=["b"]).run(Table(), io.StringIO())) == ["b"]


def test_another_study_in_the_folder_is_noted(tmp_path, capsys):
    study(tmp_path).run(Table())
    assert "note:" not in capsys.readouterr().err
    study(tmp_path, rows={"c": Row([{"lr": 1}])}).run(Table())
    assert "holds runs of another study" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/study.json").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {}}, "no rows"),
        ({"only": ["c"]}, "no row 'c': the study has 'a', 'b'"),
        ({"only": []}, "`only` names no row"),
        ({"rows": {"a": Row([{}]), "b": Row([{}, {}])}}, "unequal tuning budgets.*'a' 1, 'b' 2"),
        ({"rows": {"a": Row([])}}, "no candidates"),
        ({"rows": {"a": Row([{}]), "b": Row([{}], against="A")}}, "'b': against: 'A'.*mean 'a'"),
        ({"rows": {"a": Row([{}], against="a"), "b": Row([{}])}}, "'a' is none of the other rows"),
        ({"seeds": []}, "no seeds"),
        ({"tune_seeds": []}, "no tune_seeds"),
        ({"seeds": [1, 1]}, "seeds holds a seed twice"),
        ({"workers": -1}, "workers must be 0 or more, not -1"),
        ({"seed_keys": []}, "row 'a': none of the seed_keys"),
        (
            {
                "overrides": {"callbacks": ["a.Timer"]},
                "seed_keys": ["seed_everything", "callbacks.Timr.init_args.seed"],
            },
            "no 'Timr' is in the list there. Did you mean 'Timer'",
        ),
    ],
)
def test_what_is_no_study_is_refused_before_any_training(tmp_path, changes, message):
    measure = Table()
    with pytest.raises(UsageError, match=message):
        study(tmp_path, **changes).run(measure)
    assert measure.runs == []


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_run(tmp_path):
    (tmp_path / "out").touch()
    table = Table()
    with pytest.raises(UsageError, match="is a file: name a folder"):
        study(tmp_path).run(measure=table)
    assert table.runs == []
