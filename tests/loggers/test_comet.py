"""Comet, by a double of the methods of its experiment that we call, with their signatures."""

from typing import Any

import numpy as np

from lit_intriguing.loggers.comet import Comet
from lit_intriguing.loggers.destinations import place_of
from tests.loggers.sent import TEXT, send


class Experiment:
    """What is called of `comet_ml.Experiment`."""

    def __init__(self) -> None:
        self.images: dict[tuple[str, int], Any] = {}
        self.tables: dict[str, Any] = {}
        self.assets: dict[str, str] = {}

    def log_image(self, image_data: Any, name: str | None = None, step: int | None = None) -> None:
        self.images[name or "", step or 0] = image_data

    def log_table(self, filename: str, tabular_data: Any = None, headers: Any = False) -> None:
        self.tables[filename] = [headers, *tabular_data]

    def log_asset_data(self, data: Any, name: str | None = None) -> None:
        self.assets[name or ""] = data


class CometLogger:
    """Stands for Lightning's."""

    def __init__(self) -> None:
        self.experiment = Experiment()
        self.parameters: dict[str, Any] = {}

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.parameters |= params


def test_figure_table_and_configuration_arrive() -> None:
    logger = CometLogger()
    place = place_of(logger)
    assert isinstance(place, Comet)
    send(place)
    image = logger.experiment.images["examples/figure", 7]
    assert (image.shape, image.dtype, image.max()) == ((75, 150, 3), np.uint8, 255)
    table = logger.experiment.tables["examples/step-00000008.csv"]
    assert table == [["example", "c", "state"], [0, 0.5, "found"], [1, "none", "lost"]]
    assert logger.experiment.assets == {"config.yaml": TEXT}
    assert logger.parameters["callbacks.Timer.init_args.layers.input.n"] == 2
