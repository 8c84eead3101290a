"""W&B, offline, read back."""

from pathlib import Path

import pytest
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from lit_intriguing.loggers.destinations import place_of
from lit_intriguing.loggers.guard import guard
from lit_intriguing.loggers.wandb import Wandb
from tests.loggers.sent import TEXT, send
from tests.loggers.wandb_files import WandbRun, read_run


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WandbLogger:
    import wandb

    wandb.teardown()  # of another test, whose folder it would write to
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    return WandbLogger(project="test", save_dir=tmp_path, offline=True, prefix="p")


def read(folder: Path) -> WandbRun:
    import wandb

    wandb.finish()
    wandb.teardown()  # without it the file may end after its head
    return read_run(folder)


def test_image_table_with_pictures_and_configuration_arrive(
    tmp_path: Path, logger: WandbLogger
) -> None:
    place = place_of(logger)
    assert isinstance(place, Wandb)
    send(place)
    version = str(logger.version)
    run = read(tmp_path)
    image, table = run.rows
    assert image["p-examples/figure/_type"] == "images/separated"
    assert (image["p-examples/figure/width"], image["p-examples/figure/height"]) == (150, 75)
    assert [row["trainer/global_step"] for row in run.rows] == [7, 7]
    assert [row["p-epoch"] for row in run.rows] == [1, 1]
    assert table["p-examples/table/nrows"] == 2
    first, second = run.rows_of(0)
    assert list(first) == ["example", "clean", "c", "state"]
    assert (first["c"], first["state"], second["c"]) == (0.5, "found", None)
    assert Image.open(first["clean"]).getpixel((0, 0)) == (255, 0, 0)
    assert run.config["model"]["lr"] == 0.1
    assert run.config["callbacks"]["Timer"]["init_args"]["layers"]["input"]["n"] == 2
    assert (run.files / "lightning" / "config.yaml").read_text() == TEXT
    assert (tmp_path / "test" / version / "config.yaml").read_text() == TEXT


def test_the_summary_has_the_best_values_of_errors_and_distortions(
    tmp_path: Path, logger: WandbLogger
) -> None:
    guard(logger)
    for step, (error, far) in enumerate([(0.3, 1.0), (0.1, 3.0), (0.2, 2.0)]):
        logger.log_metrics({"val/error": error, "examples/distortion": far, "age": step}, step)
    logger.finalize("success")
    run = read(tmp_path)
    assert run.best["p-val/error"] == "min"
    assert run.best["p-examples/distortion"] == "max"
    assert "p-age" not in run.best
