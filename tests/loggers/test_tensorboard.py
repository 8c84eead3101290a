"""TensorBoard, read back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from lit_intriguing.loggers.destinations import place_of
from lit_intriguing.loggers.tensorboard import TensorBoard
from tests.loggers.sent import TEXT, send

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_image_text_and_configuration_arrive(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="board", default_hp_metric=False)
    place = place_of(logger)
    assert isinstance(place, TensorBoard)
    send(place)
    logger.save()
    logger.finalize("success")
    events = accumulator.EventAccumulator(logger.log_dir).Reload()
    (image,) = events.Images("examples/figure")
    assert (image.step, image.width, image.height) == (7, 150, 75)
    (text,) = events.Tensors("examples/table/text_summary")
    assert b"| 1 | none | lost |" in text.tensor_proto.string_val[0]
    assert Path(logger.log_dir, "config.yaml").read_text() == TEXT
    assert "model.lr: 0.1" in Path(logger.log_dir, "hparams.yaml").read_text()


def hparams_tab(folder: Path) -> list[Any]:
    """Returns the rows of the tab HPARAMS, as TensorBoard's own server makes them."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(SimpleNamespace(data_provider=provider))
    metadata = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, metadata, None)
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=9,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN],
        col_params=[api_pb2.ColParams(metric=one.name) for one in experiment.metric_infos],
    )
    handler = list_session_groups.Handler(
        RequestContext(), backend_context=context, experiment_id="", request=request
    )
    return list(handler.run().session_groups)


def test_the_tab_of_hyperparameters_has_a_row_for_each_run_with_its_last_metrics(
    tmp_path: Path,
) -> None:
    for rate, error in ((0.1, 0.5), (0.2, 0.25)):
        logger = TensorBoardLogger(tmp_path, name="board", default_hp_metric=False)
        place_of(logger).configuration(TEXT, {"model": {"lr": rate, "bias": None}})
        for step, value in enumerate([1.0, error]):
            logger.log_metrics({"val/error": value}, step)
        logger.finalize("success")
    rows = hparams_tab(tmp_path)
    found = {
        row.hparams["model.lr"].number_value: {
            one.name.tag: one.value for one in row.sessions[0].metric_values
        }
        for row in rows
    }
    assert found == {0.1: {"val/error": 0.5}, 0.2: {"val/error": 0.25}}
    assert {row.hparams["model.bias"].string_value for row in rows} == {"null"}
