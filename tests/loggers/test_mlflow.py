"""MLflow with a database, read back; skipped where MLflow is not installed."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from lit_intriguing.loggers.destinations import place_of
from lit_intriguing.loggers.mlflow import MLflow
from tests.loggers.sent import TEXT, send

mlflow = pytest.importorskip("mlflow", reason="needs MLflow: pip install 'lit-intriguing[mlflow]'")


@pytest.fixture
def logger(tmp_path: Path) -> MLFlowLogger:
    return MLFlowLogger(
        "test",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifact_location=str(tmp_path / "artifacts"),
    )


@pytest.mark.filterwarnings("ignore")  # of MLflow's own database
def test_figure_table_and_configuration_arrive(tmp_path: Path, logger: MLFlowLogger) -> None:
    place = place_of(logger)
    assert isinstance(place, MLflow)
    send(place)
    client: Any = logger.experiment

    def artifact(name: str) -> bytes:
        return Path(client.download_artifacts(logger.run_id, name)).read_bytes()

    assert artifact("examples/step-00000008.png").startswith(b"\x89PNG")
    assert artifact("examples/step-00000008.csv").startswith(b"example,c,state\n0,0.5,found\n")
    assert artifact("config.yaml").decode() == TEXT
    parameters = client.get_run(logger.run_id).data.params
    assert parameters["model.lr"] == "0.1"
    assert parameters["callbacks.Timer.init_args.layers.input.n"] == "2"
    assert parameters["model.note"].endswith("... (all of it: config.yaml)")


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_goes_on_with_another_configuration_is_told_of_in_one_line(
    logger: MLFlowLogger,
) -> None:
    """MLflow refuses to change a parameter."""
    from lit_intriguing.loggers.destinations import destinations

    (place,) = destinations([logger])
    place.configuration(TEXT, {"lr": 0.1})
    with pytest.warns(UserWarning, match="MLFlowLogger failed: .*[Cc]hang.* param"):
        place.configuration(TEXT, {"lr": 0.2})
