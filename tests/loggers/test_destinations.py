"""Figures and tables in files; several loggers, unknown ones, failing ones and none."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger

from lit_intriguing.loggers.configuration import by_name
from lit_intriguing.loggers.destinations import Files, Forgiving, Unknown, destinations, place_of
from tests.loggers.sent import TEXT, VALUES, send

TABLE_TEXT = "example,c,state\n0,0.5,found\n1,none,lost\n"


def test_files_are_a_png_and_a_csv_for_each_step_and_the_configuration(tmp_path: Path) -> None:
    send(Files(tmp_path))
    assert (tmp_path / "examples/step-00000008.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "examples/step-00000008.csv").read_text() == TABLE_TEXT
    assert (tmp_path / "config.yaml").read_text() == TEXT
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_a_csv_logger_has_its_files_beside_its_metrics(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    (destination,) = destinations([logger])
    send(destination)
    logger.log_metrics({"loss": 1.0}, step=1)
    logger.save()
    found = {path.name for path in Path(logger.log_dir).iterdir()}
    assert found == {"examples", "metrics.csv", "config.yaml"}


def test_a_folder_that_a_csv_logger_writes_to_is_one_place(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    assert destinations([logger], Path(logger.log_dir)) == [Files(Path(logger.log_dir))]


def test_without_a_logger_there_are_files_or_nothing(tmp_path: Path) -> None:
    assert destinations([]) == []
    assert destinations([], tmp_path) == [Files(tmp_path)]


class Other(Logger):
    """A logger that we do not know."""

    name = version = "other"

    def __init__(self) -> None:
        self.given: list[Any] = []

    def log_metrics(self, *args: Any, **kwargs: Any) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.given.append(params)


def test_an_unknown_logger_gets_the_configuration_and_the_others_theirs(tmp_path: Path) -> None:
    class Mine(CSVLogger):
        pass

    other, mine = Other(), Mine(tmp_path, name="mine")
    first, second = destinations([other, mine])
    assert first == Forgiving(other, Unknown(other))
    assert second == Forgiving(mine, Files(tmp_path / "mine" / "version_0"))
    send(first)
    assert other.given == [by_name(VALUES)]
    assert other.given[0]["callbacks"]["Timer"]["init_args"]["layers"]["input"] == {"n": 2}


def test_loggers_of_the_older_package_are_known_too(tmp_path: Path) -> None:
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    assert isinstance(place_of(loggers.CSVLogger(tmp_path)), Files)


def test_a_logger_that_fails_is_named_once_in_one_line(tmp_path: Path) -> None:
    class Full(Other):
        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("No space left\non device")

    (failing,) = destinations([Full()])
    with pytest.warns(UserWarning, match="Full failed") as warned:
        send(failing)
    send(failing)  # warnings are errors here
    (one,) = warned
    assert "\n" not in str(one.message)
    assert "OSError: No space left on device. Training continues" in str(one.message)


def test_a_logger_that_cannot_begin_does_not_keep_the_others_from_theirs(tmp_path: Path) -> None:
    class CSVLogger2(CSVLogger):
        @property
        def experiment(self) -> Any:
            raise ConnectionError("refused")

    with pytest.warns(UserWarning, match="CSVLogger2 failed: ConnectionError: refused"):
        (place,) = destinations([CSVLogger2(tmp_path), CSVLogger(tmp_path, name="runs")])
    send(place)
    assert (tmp_path / "runs/version_0/examples/step-00000008.csv").read_text() == TABLE_TEXT
