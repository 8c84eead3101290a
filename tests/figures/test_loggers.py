"""Figures and tables in files, W&B (offline), TensorBoard, several loggers and none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from matplotlib.figure import Figure

from lit_intriguing.figures import dot_plot
from lit_intriguing.figures.canvas import new_figure
from lit_intriguing.figures.loggers import (
    Destination,
    Files,
    TensorBoard,
    Wandb,
    destinations,
    pixels,
)
from tests.cli.test_fit import wandb_records

COLUMNS, LINES = ["example", "c"], [[0, 0.5], [1, 0.25]]


def figure() -> Figure:
    return new_figure(1, 0.5)


def send(destination: Destination, step: int = 7) -> None:
    destination.figure("examples", figure(), step)
    destination.table("examples", COLUMNS, LINES, step)


def test_files_are_a_png_and_a_csv_for_each_step(tmp_path: Path) -> None:
    send(Files(tmp_path))
    assert (tmp_path / "examples/step-00000007.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "examples/step-00000007.csv").read_text() == "example,c\n0,0.5\n1,0.25\n"
    assert len(list(tmp_path.rglob("*.*"))) == 2


def test_a_csv_logger_has_its_files_beside_its_metrics(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    (destination,) = destinations([logger])
    send(destination)
    logger.log_metrics({"loss": 1.0}, step=1)
    logger.save()
    assert {path.name for path in Path(logger.log_dir).iterdir()} == {"examples", "metrics.csv"}


def test_a_folder_that_a_csv_logger_writes_to_is_one_place(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    assert destinations([logger], Path(logger.log_dir)) == [Files(Path(logger.log_dir))]


def test_without_a_logger_there_are_files_or_nothing(tmp_path: Path) -> None:
    assert destinations([]) == []
    assert destinations([], tmp_path) == [Files(tmp_path)]


class Unknown(Logger):
    name = version = "unknown"

    def log_metrics(self, *args: Any, **kwargs: Any) -> None: ...

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


def test_an_unknown_logger_gets_nothing_and_the_others_theirs(tmp_path: Path) -> None:
    class Mine(CSVLogger):
        pass

    found = destinations([Unknown(), Mine(tmp_path, name="mine")])
    assert found == [Files(tmp_path / "mine" / "version_0")]


def test_loggers_of_the_older_package_are_known_too(tmp_path: Path) -> None:
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    assert len(destinations([loggers.CSVLogger(tmp_path)])) == 1


def test_wandb_offline_gets_image_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    wandb.teardown()  # of another test, whose folder it would write to
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(project="test", save_dir=tmp_path, offline=True)
    (destination,) = destinations([logger])
    assert isinstance(destination, Wandb)
    send(destination)
    media = list(Path(logger.experiment.dir).rglob("*.png"))
    wandb.finish()
    wandb.teardown()  # without it the file may end after its head
    (file,) = tmp_path.rglob("run-*.wandb")
    history: dict[str, Any] = {}
    for record in wandb_records(file):
        for item in record.history.item:  # type: ignore[attr-defined]
            history[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    assert len(media) == 1
    assert history["examples/figure/_type"] == "images/separated"
    assert (history["examples/figure/width"], history["examples/figure/height"]) == (150, 75)
    assert history["examples/table/nrows"] == 2
    assert history["trainer/global_step"] == 7


def test_tensorboard_gets_image_and_text(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path, name="board")
    (destination,) = destinations([logger])
    assert isinstance(destination, TensorBoard)
    send(destination)
    logger.finalize("success")
    events = accumulator.EventAccumulator(logger.log_dir).Reload()
    (image,) = events.Images("examples/figure")
    assert (image.step, image.width, image.height) == (7, 150, 75)
    (text,) = events.Tensors("examples/table/text_summary")
    assert b"| 1 | 0.25 |" in text.tensor_proto.string_val[0]


def test_pixels_are_those_of_the_figure_without_transparency() -> None:
    drawn = dot_plot({"one": torch.tensor([1.0])}, label="x")
    array = pixels(drawn)
    assert array.shape == (round(150 * drawn.get_figheight()), 1050, 3)
    assert array.dtype == np.uint8
    assert array[0, 0].tolist() == [255, 255, 255]
    assert array.min() < 100
