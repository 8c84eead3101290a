import csv

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from lit_intriguing.figures import dot_plot
from lit_intriguing.figures.canvas import pixels
from lit_intriguing.figures.logging import log_figure, log_table


@pytest.fixture
def figure():
    return dot_plot({"a": torch.tensor([1.0, 2.0])}, label="error, %")


class FakeRun:
    """Stands in for a W&B run, which Lightning accepts by its interface."""

    def __init__(self):
        self.logged = []

    def log(self, values, **_):
        self.logged.append(values)


@pytest.fixture
def wandb_logger(monkeypatch):
    run = FakeRun()
    monkeypatch.setattr(WandbLogger, "experiment", run)
    return WandbLogger(offline=True), run


def test_without_a_logger_files_go_into_the_given_directory(tmp_path, figure):
    log_figure([], "study/dots", figure, step=3, directory=tmp_path)
    log_table([], "study/rows", ["a", "b"], [["x", 1]], step=3, directory=tmp_path)
    assert (tmp_path / "figures/study/dots-3.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "tables/study/rows-3.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["x", "1"]]


def test_the_csv_logger_gets_files_in_its_own_folder_and_nothing_elsewhere(tmp_path, figure):
    logger = CSVLogger(tmp_path / "logs", name="run")
    log_figure([logger], "dots", figure, step=0, directory=tmp_path / "elsewhere")
    assert (tmp_path / "logs/run/version_0/figures/dots-0.png").is_file()
    assert not (tmp_path / "elsewhere").exists()


def test_tensorboard_gets_the_drawn_pixels_and_the_table(tmp_path, figure):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    logger = TensorBoardLogger(tmp_path)
    log_figure([logger], "dots", figure, step=7, directory=tmp_path / "elsewhere")
    log_table([logger], "rows", ["a"], [["x"]], step=7, directory=tmp_path / "elsewhere")
    logger.experiment.close()
    events = accumulator(logger.log_dir)
    events.Reload()
    image = events.Images("dots")[0]
    assert image.step == 7
    assert (image.height, image.width) == pixels(figure).shape[:2]
    assert b"| x |" in events.Tensors("rows/text_summary")[0].tensor_proto.string_val[0]
    assert not (tmp_path / "elsewhere").exists()


def test_wandb_gets_an_image_that_is_not_black(tmp_path, figure, wandb_logger):
    logger, run = wandb_logger
    log_figure([logger], "dots", figure, step=7, directory=tmp_path)
    (image,) = run.logged[0]["dots"]
    drawn = torch.tensor(list(image.image.convert("RGB").tobytes()), dtype=torch.uint8)
    assert torch.equal(drawn, pixels(figure).flatten())
    assert run.logged[0]["trainer/global_step"] == 7


def test_wandb_gets_the_table(tmp_path, wandb_logger):
    logger, run = wandb_logger
    log_table([logger], "rows", ["a", "b"], [["x", 1]], step=7, directory=tmp_path)
    assert run.logged[0]["rows"].columns == ["a", "b"]
    assert run.logged[0]["rows"].data == [["x", 1]]


def test_a_row_of_a_wrong_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="table 'rows': a row of 1 cells for 2 columns"):
        log_table([], "rows", ["a", "b"], [["x"]], step=0, directory=tmp_path)
