"""What ends the training of a sparse autoencoder, on the digits."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from lit_intriguing.callbacks import SparseFilters
from lit_intriguing.data import Digits
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier, SparseAutoencoder
from lit_intriguing.models.localisation import localisation
from tests.callbacks.full_batch import trainer


def autoencoder(inputs: int = 64) -> SparseAutoencoder:
    torch.manual_seed(0)
    return SparseAutoencoder(
        inputs, 30, decay=1e-3, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2)
    )


def fit(stop: SparseFilters, **options: Any) -> Any:
    run = trainer(stop, **{"max_epochs": 60, **options})
    model = autoencoder()
    run.fit(model, datamodule=Digits())
    return run, model


@pytest.mark.integration
def test_it_stops_at_the_first_epoch_that_meets_both_thresholds_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = SparseFilters(activation=0.11, local=0.4)
    run, model = fit(stop)
    local = float(localisation(model.filters).median())
    mean = float(run.callback_metrics["train/activation"])
    assert mean <= 0.11
    assert local >= 0.4
    found = re.fullmatch(
        r"filters sparse and local after (\d+) epochs: mean activation ([\d.]+), "
        r"median localisation ([\d.]+)",
        stop.outcome,
    )
    epochs = int(found[1])
    assert epochs == run.global_step / 23
    assert 1 < epochs < 60
    assert float(found[2]) == pytest.approx(mean, abs=1e-4)
    assert float(found[3]) == pytest.approx(local, abs=1e-3)
    assert stop.outcome in capsys.readouterr().out
    sooner = SparseFilters(activation=0.11, local=0.4)
    with pytest.warns(UserWarning, match="not sparse and local"):
        fit(sooner, max_epochs=epochs - 1)


@pytest.mark.parametrize(("activation", "local"), [(0.01, 0.1), (0.9, 0.99)])
def test_one_threshold_that_is_never_reached_gives_a_warning_with_what_was(
    activation: float, local: float
) -> None:
    stop = SparseFilters(activation, local)
    message = (
        r"not sparse and local after 2 epochs: mean activation 0\.\d+, median localisation "
        rf"0\.\d+; asked for were at most {activation:g} and at least {local:g}\. Raise max_epochs"
    )
    with pytest.warns(UserWarning, match=message):
        fit(stop, max_epochs=2)
    assert stop.outcome is None


def test_the_filters_go_to_the_logger_as_a_figure(tmp_path: Path) -> None:
    fit(SparseFilters(0.9, 0.1), logger=CSVLogger(tmp_path, name="", version=""))
    (figure,) = (tmp_path / "filters").glob("*.png")
    assert figure.stat().st_size > 10_000
    assert "filters/localisation" in (tmp_path / "metrics.csv").read_text()


def test_a_resumed_run_counts_the_epochs_before() -> None:
    first, second = SparseFilters(0.01, 0.9), SparseFilters(0.01, 0.9)
    with pytest.warns(UserWarning, match="after 2 epochs"):
        fit(first, max_epochs=2)
    second.load_state_dict(first.state_dict())
    with pytest.warns(UserWarning, match="after 3 epochs"):
        fit(second, max_epochs=1)


def test_it_only_measures() -> None:
    left = []
    for callbacks in ([SparseFilters(0.01, 0.9)], []):
        model, options = autoencoder(), {"max_epochs": 2}
        run = trainer(*callbacks, **options)
        if callbacks:
            with pytest.warns(UserWarning, match="not sparse"):
                run.fit(model, datamodule=Digits())
        else:
            run.fit(model, datamodule=Digits())
        left.append((*(p.detach() for p in model.parameters()), torch.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*left, strict=True))


def test_another_module_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="measures a SparseAutoencoder, not a Classifier"):
        trainer(SparseFilters(0.1, 0.5)).fit(Classifier((64, 10)), datamodule=Digits())


def test_filters_that_are_no_square_images_are_refused_before_training() -> None:
    with pytest.raises(UserError, match="not square images"):
        trainer(SparseFilters(0.1, 0.5)).fit(autoencoder(60), datamodule=Digits())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0.0, 0.5), "activation lies between 0 and 1, not 0.0"),
        ((0.1, 1.0), "local lies between 0 and 1, not 1.0"),
    ],
)
def test_thresholds_out_of_range_are_refused(options: tuple[float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseFilters(*options)
