"""The study in Python: what is kept and used again, what is refused, what is written."""

import csv
import io
from pathlib import Path

import pytest

from lit_intriguing.commands.probe import ProbeJob, Probing, probe_tensors
from lit_intriguing.commands.transfer import ModelSource
from lit_intriguing.errors import UsageError, UserError
from tests.commands.transfer.small import Loud, NeverCorrect, examples, trained
from tests.commands.transfer.test_options import Data, Noted

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
POINTS = {"factors": [0, 1, 2], "centres": [0, 1, 1.5], "noise": [0.1, 0.5], "draws": 3}


@pytest.fixture(scope="module")
def models():
    return {"a": trained(0), "b": trained(1)}


@pytest.fixture(autouse=True)
def _nothing_noted():
    Noted.given.clear()


def study(folder, models, **options):
    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    given = {"attack": Noted(), "chunk": 16, "trainer": quiet, **POINTS}
    return Probing(models, **{"data": Data(), "out_dir": str(folder), **given, **options})


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_study_gives_what_the_function_gives_and_writes_it_down(models, tmp_path, capsys):
    found = study(tmp_path, models).run()
    points = {name: tuple(v) if isinstance(v, list) else v for name, v in POINTS.items()}
    assert found == probe_tensors(models, *examples(), ProbeJob(chunk=16, **points))
    out = capsys.readouterr().out
    assert "along.csv, around.csv, probe.md, along.png, around.png in" in out
    along, around = lines_of(tmp_path / "along.csv"), lines_of(tmp_path / "around.csv")
    assert (len(along), len(around)) == (2 * 2 * 3, 2 * 3 * 2)
    point = found.models["b"].line("random")[2]
    (row,) = (
        one for one in along
        if (one["model"], one["direction"], one["factor"]) == ("b", "random", "2")
    )  # fmt: skip
    assert float(row["probability true"]) == point.probabilities[0]
    assert float(row["wrong"]) == point.wrong.value
    distortion = 2 * found.models["b"].distortions.mean
    assert float(row["mean distortion"]) == pytest.approx(distortion)
    last = found.models["b"].cloud(1.5)[1]
    assert float(around[-1]["target high"]) == last.target.high
    page = (tmp_path / "probe.md").read_text()
    share, target = 100 * last.wrong.value, 100 * last.target.value
    assert f"| {share:.1f} ({target:.1f}) |" in page
    for name in ("along.png", "around.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.integration
def test_a_second_call_attacks_nothing_nor_does_one_for_other_points(models, tmp_path):
    first = study(tmp_path, models).run(io.StringIO())
    assert sum(Noted.given) == first.models["a"].counted + first.models["b"].counted
    Noted.given.clear()
    assert study(tmp_path, models).run(io.StringIO()) == first
    other = study(tmp_path, models, noise=[0.3]).run(io.StringIO())
    assert Noted.given == []
    assert other == study(tmp_path / "fresh", models, noise=[0.3]).run(io.StringIO())


@pytest.mark.integration
def test_failed_models_and_those_without_rows_lose_nothing_of_the_others(models, tmp_path, capsys):
    odd = {"loud": Loud(), "never": NeverCorrect(), "gone": ModelSource(checkpoint="none.ckpt")}
    with pytest.raises(UserError, match="'gone', 'loud' failed, and the tables lack them"):
        study(tmp_path, {**odd, **models}).run()
    out = capsys.readouterr().out
    assert "'loud': RuntimeError: out of order" in out
    assert "never: 0 of 30 images count" in out
    assert {one["model"] for one in lines_of(tmp_path / "along.csv")} == {"a", "b"}
    assert study(tmp_path, models).run(io.StringIO()) == study(tmp_path / "x", models).run(
        io.StringIO()
    )


def test_without_any_row_that_counts_tables_are_empty_and_nothing_is_drawn(tmp_path, capsys):
    study(tmp_path, {"never": NeverCorrect()}).run()
    assert "no numbers" in capsys.readouterr().out
    assert lines_of(tmp_path / "along.csv") == []
    assert not (tmp_path / "along.png").exists()


def test_figures_of_other_results_do_not_stay_where_nothing_is_drawn(models, tmp_path):
    study(tmp_path, models).run(io.StringIO())
    figures = {name: (tmp_path / name).read_bytes() for name in ("along.png", "around.png")}
    study(tmp_path, {"never": NeverCorrect()}).run(io.StringIO())
    for name, content in figures.items():
        assert (tmp_path / "earlier-1" / name).read_bytes() == content
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": {}}, "no models"),
        ({"models": {"x": ModelSource()}}, "model 'x': it says nothing of where it comes from"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"factors": [2, 1]}, "factors must grow"),
        ({"trainer": {"device": 1}}, "trainer: .*'device'"),
    ],
)
def test_what_is_no_study_is_refused_before_any_work(options, message, models, tmp_path):
    with pytest.raises(UsageError, match=message):
        study(tmp_path / "out", **{"models": models, **options}).run()
    assert not (tmp_path / "out").exists()
