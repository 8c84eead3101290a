"""The study in Python: what is kept and used again, what is refused, what is written."""

import csv
import io
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import Attack, BoxLBFGS, Found
from lit_intriguing.commands.transfer import (
    CleanSplit,
    ModelSource,
    PaperRow,
    TransferJob,
    TransferMatrix,
    transfer_tensors,
)
from lit_intriguing.errors import UsageError, UserError
from tests.commands.transfer.small import Loud, examples, network, trained

HERE = "tests.commands.transfer.small"
pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


class Data(LightningDataModule):
    def __init__(self, count: int = 30, shift: int = 0) -> None:
        super().__init__()
        self.count, self.shift = count, shift

    def test_dataloader(self) -> DataLoader:
        images, labels = examples(self.count)
        return DataLoader(TensorDataset(images.roll(self.shift, 0), labels.roll(self.shift)), 7)


class Noted(Attack):
    """BoxLBFGS, which counts the images that it is given."""

    given: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.inner = BoxLBFGS()

    def search(self, model, x, criterion, **options) -> Found:
        self.given.append(len(x))
        return self.inner.search(model, x, criterion, **options)


@pytest.fixture(scope="module")
def models():
    return {"a": trained(0), "b": trained(1)}


@pytest.fixture(autouse=True)
def _nothing_noted():
    Noted.given.clear()


def study(folder, models, **options):
    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    given = {"attack": Noted(), "noise": [0.2], "amplify": [0.3], "chunk": 16, "trainer": quiet}
    return TransferMatrix(models, **{"data": Data(), "out_dir": str(folder), **given, **options})


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "transfer.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_study_gives_what_the_function_gives_and_writes_it_down(models, tmp_path, capsys):
    paper = {"for a": PaperRow([100, 12.5], 0.06)}
    found = study(tmp_path, models, paper=paper, clean={"all": CleanSplit("test")}).run()
    job = TransferJob(BoxLBFGS(), noise=(0.2,), amplify=(0.3,), chunk=16)
    expected = transfer_tensors(models, *examples(), job)
    assert found.rows[1:] == expected.rows
    assert found.rows[0].title == "all"
    assert found.rows[0].cells == expected.row("clean").cells
    out = capsys.readouterr().out
    assert "100.0 [100]" in out
    assert " [12.5]" in out
    lines = lines_of(tmp_path)
    assert len(lines) == len(found.rows) * 2
    cell = next(one for one in lines if one["set"] == "for a" and one["model"] == "b")
    error = found.row("for a").cells[1].error
    assert float(cell["error"]) == pytest.approx(error)
    assert float(cell["low"]) < error < float(cell["high"])
    assert cell["paper"] == "12.5"
    assert cell["paper distortion"] == "0.06"
    page = (tmp_path / "transfer.md").read_text()
    assert "| for a | " in page
    assert "95% intervals (wilson)" in page
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_attacks_nothing_and_a_new_model_is_attacked_alone(models, tmp_path):
    first = study(tmp_path, models).run(io.StringIO())
    assert Noted.given == [16, 16, 14, 14]
    Noted.given.clear()
    again = study(tmp_path, models).run(io.StringIO())
    assert again == first
    assert Noted.given == []
    more = study(tmp_path, {**models, "c": trained(2)}).run(io.StringIO())
    assert Noted.given == [16, 14]
    assert more.row("for a").cells[:2] == first.row("for a").cells


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"attack": BoxLBFGS(mode="paper")}, []),
        ({"seed": 1}, [16, 16, 14, 14]),
        ({"data": Data(shift=20)}, [16, 16, 14, 14]),
        ({"noise": [0.4]}, []),
        ({"limit": 20}, [4, 4]),
    ],
    ids=["attack", "seed", "images", "noise", "limit"],
)
def test_examples_are_made_again_only_where_they_depend_on_a_change(
    options, made, models, tmp_path
):
    study(tmp_path, models).run(io.StringIO())
    before = len(list((tmp_path / "examples").iterdir()))
    Noted.given.clear()
    found = study(tmp_path, models, **options).run(io.StringIO())
    assert Noted.given == made
    assert (len(list((tmp_path / "examples").iterdir())) > before) == (
        "attack" in options or "seed" in options
    )
    fresh = study(tmp_path / "fresh", models, **options).run(io.StringIO())
    assert found == fresh


def test_changed_weights_are_attacked_anew(models, tmp_path):
    study(tmp_path, models).run(io.StringIO())
    Noted.given.clear()
    study(tmp_path, {**models, "b": trained(3)}).run(io.StringIO())
    assert Noted.given == [16, 14]


def test_failed_models_lose_nothing_of_the_others_and_are_named(models, tmp_path, capsys):
    odd = {
        "loud": Loud(),
        "gone": ModelSource(checkpoint=str(tmp_path / "none.ckpt")),
        "unknown": ModelSource(model={"class_path": f"{HERE}.Lod"}),
    }
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    odd["classless"] = ModelSource(checkpoint=str(tmp_path / "other.ckpt"))
    odd["foreign"] = ModelSource(
        model={"class_path": "torch.nn.Linear", "init_args": {"in_features": 6, "out_features": 3}},
        checkpoint=str(tmp_path / "other.ckpt"),
    )
    alone = study(tmp_path / "alone", models).run(io.StringIO())
    with pytest.raises(UserError, match=r"'loud'.* failed, and cells of the table are marked"):
        study(tmp_path, {**models, **odd}).run()
    out = capsys.readouterr().out
    assert "no checkpoint" in out
    assert "Did you mean 'tests.commands.transfer.small.Loud'?" in out
    assert "does not name the class of its model" in out
    assert "is not of this model" in out
    assert "out of order" in out
    lines = {(one["set"], one["model"]): one for one in lines_of(tmp_path)}
    for line in alone.rows:
        for model, cell in zip("ab", line.cells, strict=True):
            assert float(lines[line.title, model]["error"]) == pytest.approx(cell.error)
        for name in odd:
            assert lines[line.title, name]["mark"] == "failed"
            assert lines[line.title, name]["error"] == ""


def test_a_chunk_in_which_a_model_failed_is_done_again(models, tmp_path, monkeypatch):
    loud = network(4)
    with monkeypatch.context() as context:
        context.setattr(type(loud), "forward", Loud.forward)
        with pytest.raises(UserError, match="failed"):
            study(tmp_path, {"loud": loud}).run(io.StringIO())
    found = study(tmp_path, {"loud": loud}).run(io.StringIO())
    assert not found.failures
    assert not found.errors.isnan().any()


def test_models_come_by_class_path_from_a_checkpoint_or_as_a_function(tmp_path):
    model = torch.nn.Linear(6, 3)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    linear = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 6, "out_features": 3}}
    sources = {
        "checkpoint": ModelSource(model=linear, checkpoint=str(tmp_path / "a.pt")),
        "function": ModelSource(function="torch.sin"),
    }
    expected = transfer_tensors(
        {"checkpoint": model, "function": torch.sin}, *(one[:9] for one in examples()),
        TransferJob(BoxLBFGS(), chunk=16),
    )  # fmt: skip
    # torch.sin gives six classes.
    assert "it has 6 classes" in expected.failures["function"]
    with pytest.raises(UserError, match="'function' failed"):
        study(tmp_path, sources, limit=9, noise=[], amplify=[]).run(io.StringIO())
    cell = lines_of(tmp_path)[0]
    assert float(cell["error"]) == pytest.approx(expected.row("clean").cells[0].error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"confidence": 1.0}, "confidence lies between 0 and 1"),
        ({"workers": -1}, "workers must be 0 or more"),
        ({"noise": [-1.0]}, "noise: a stddev is positive"),
        ({"paper": {"for A": PaperRow([1, 2])}}, "no row 'for A'; .*Did you mean 'for a'?"),
        ({"paper": {"for a": PaperRow([1.0])}}, "1 errors for 'for a', the study has 2 models"),
        ({"clean": {"for a": CleanSplit("test")}}, "two rows of the table have the same name"),
        ({"trainer": {"device": 1}}, "trainer: .*'device'"),
        ({"models": {}}, "no models"),
        ({"models": {"x": ModelSource()}}, "model 'x': it says nothing of where it comes from"),
        (
            {"models": {"x": ModelSource(recipe="a", function="b")}},
            "model 'x': recipe and function exclude each other",
        ),
        (
            {"models": {"x": ModelSource(function="b", needs={"a": ["b"]})}},
            "model 'x': overrides and needs belong to a recipe",
        ),
        (
            {"models": {"x": ModelSource(recipe="recipes/table2_digit.yaml")}},
            "model 'x': no file .*Did you mean 'recipes/table2_digits.yaml'?",
        ),
    ],
)
def test_what_is_no_study_is_refused_before_any_work(options, message, models, tmp_path):
    with pytest.raises(UsageError, match=message):
        study(tmp_path / "out", **{"models": models, **options}).run()
    assert not (tmp_path / "out").exists()
