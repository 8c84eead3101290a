"""The network of logistic units beside the tanh network that was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lit_intriguing.callbacks import LogisticFromTanh, MovingAverage
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from tests.callbacks.full_batch import Blobs, trainer

WIDTHS = (16, 8, 7, 3)


def network(activation: type[nn.Module] = nn.Tanh, **options: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(WIDTHS, activation=activation, **options)


def fitted(folder: Path, *callbacks: Callback, **options: Any) -> tuple[Classifier, Any]:
    model = network(subtract_mean=True)
    run = trainer(*callbacks, folder=folder, max_epochs=3, **options)
    run.fit(model, datamodule=Blobs(batch_size=40))
    return model, run


def test_the_checkpoint_is_a_network_of_logistic_units_with_the_same_logits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = fitted(tmp_path, LogisticFromTanh())
    made = Classifier.load_from_checkpoint(tmp_path / "logistic.ckpt")
    assert str(tmp_path / "logistic.ckpt") in capsys.readouterr().out
    assert isinstance(made.hidden2[1], nn.Sigmoid)
    x = Blobs().load_training()[0].inputs
    assert torch.allclose(made.eval()(x), model.eval()(x), atol=1e-5)


def test_it_holds_the_averaged_weights_where_it_stands_behind_their_callback(
    tmp_path: Path,
) -> None:
    model, _ = fitted(tmp_path, MovingAverage(0.9), LogisticFromTanh("mean.ckpt"))
    without, _ = fitted(tmp_path / "last", LogisticFromTanh("last.ckpt"))
    made = Classifier.load_from_checkpoint(tmp_path / "mean.ckpt").eval()
    x = Blobs().load_training()[0].inputs
    assert torch.allclose(made(x), model.eval()(x), atol=1e-5)
    assert not torch.allclose(made(x), without.eval()(x), atol=1e-3)


def test_a_test_says_its_error_and_that_its_logits_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, run = fitted(tmp_path, LogisticFromTanh())
    found = {**run.test(model, datamodule=Blobs(batch_size=50), verbose=False)[0]}
    assert found["test/logistic_error"] == pytest.approx(found["test/error"])
    assert 0 < found["test/error"] < 0.7
    assert 0 <= found["test/logistic_difference"] < 1e-5
    assert f"with logistic units: test error {found['test/error']:.2%}" in capsys.readouterr().out


def test_an_error_that_is_not_the_same_would_show(tmp_path: Path) -> None:
    class Broken(LogisticFromTanh):
        def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_test_epoch_start(trainer, pl_module)
            assert self._made is not None
            nn.init.zeros_(self._made.output.weight)

    model, run = fitted(tmp_path, Broken())
    found = run.test(model, datamodule=Blobs(), verbose=False)[0]
    assert found["test/logistic_error"] != pytest.approx(found["test/error"])
    assert found["test/logistic_difference"] > 0.1


def test_training_is_the_same_with_and_without(tmp_path: Path) -> None:
    one, _ = fitted(tmp_path / "with", LogisticFromTanh())
    other, _ = fitted(tmp_path / "without")
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_an_average_behind_it_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"before MovingAverage and would write .* put it behind"):
        fitted(tmp_path, LogisticFromTanh(), MovingAverage(0.9))
    assert not (tmp_path / "logistic.ckpt").exists()
    fitted(tmp_path, MovingAverage(0.9), LogisticFromTanh())
    assert (tmp_path / "logistic.ckpt").exists()


def test_other_networks_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"LogisticFromTanh: only a network of torch\.nn\.Tanh"):
        trainer(LogisticFromTanh(), folder=tmp_path).fit(network(nn.ReLU), datamodule=Blobs())
