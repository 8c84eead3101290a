from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.models import Regressor
from tests.models.test_segmenter import QUIET


def numbers(rows: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1] - 2 * x[:, 1:2] + x[:, 2:].square()


def test_rmse_and_r2_are_those_of_all_examples_whatever_the_batches() -> None:
    torch.manual_seed(0)
    host, (x, y) = Regressor([3, 5, 1]), numbers()
    found = Trainer(**QUIET).test(host, TensorLoader(x, y, 5), verbose=False)[0]
    with torch.no_grad():
        squares = (host(x) - y).square().mean()
    assert found["test/rmse"] == pytest.approx(float(squares.sqrt()), rel=1e-5)
    assert found["test/r2"] == pytest.approx(float(1 - squares / y.var(correction=0)), rel=1e-4)


def test_it_learns_a_curved_function_and_its_checkpoint_makes_it_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    host = Regressor([3, 16, 16, 1], optimizer=lambda p: torch.optim.Adam(p, lr=0.03))
    trainer = Trainer(max_epochs=20, log_every_n_steps=4, **QUIET)
    loader = TensorLoader(*numbers(), 16)
    trainer.fit(host, loader, loader)
    assert float(trainer.callback_metrics["val/r2"]) > 0.9
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    again = Regressor.load_from_checkpoint(tmp_path / "one.ckpt")
    assert again.widths == [3, 16, 16, 1]
    torch.testing.assert_close(again(numbers()[0]), host(numbers()[0]))
    predictions = torch.cat(trainer.predict(host, loader))
    torch.testing.assert_close(predictions, again(numbers()[0]).detach())


def test_inputs_of_another_size_are_refused_with_what_to_set() -> None:
    with pytest.raises(UserError, match="takes 3 features: set the first of the model's widths"):
        Regressor([3, 5, 1])(torch.zeros(2, 4))


@pytest.mark.parametrize("widths", [[3], [3, 0, 1]])
def test_widths_that_make_no_network_are_refused(widths: list[int]) -> None:
    with pytest.raises(UserError, match="two or more numbers above 0"):
        Regressor(widths)
