"""UnderAttack: what a host's own test measures on adversarial examples."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from lit_intriguing.attacks import BoxLBFGS, GradientAttack
from lit_intriguing.callbacks import UnderAttack
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.training_step import StepNotCalledError
from lit_intriguing.splice import UnknownLayerError
from lit_intriguing.types import Bounds
from tests.callbacks.test_adversarial_training import trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]

N, D, T = 6, 4, 5


class Prices(LightningModule):
    """A linear regression that keeps what its test sees."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(D, 3), nn.Dropout(0.5), nn.Linear(3, 1))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.mse_loss(self.net(x), y)
        self.log("train/loss", loss)
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch[0])
        self.log("test/mse", F.mse_loss(self.net(batch[0]), batch[1]))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/mse", F.mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Sentences(LightningModule):
    """Token ids with a mask, in a mapping; keeps what the embedding hands on."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, D), nn.Linear(D, 3)
        self.seen: list[Tensor] = []

    def loss(self, batch: Any, keep: bool = False) -> Tensor:
        hidden = self.embedding(batch["ids"])
        if keep:
            self.seen.append(hidden)
        return F.cross_entropy(self.head(hidden.square().sum(1)), batch["labels"])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch, keep=True))


def numbers() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(N, D, generator=generator), torch.rand(N, 1, generator=generator) + 2


def loader() -> DataLoader[Any]:
    return DataLoader(list(zip(*numbers(), strict=True)), batch_size=N)


def texts() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([5, 3, 1, 4, 2, 5])
    ids = torch.randint(11, (N, T), generator=generator)
    mask = (torch.arange(T) < lengths[:, None]).long()
    rows = {"ids": ids, "mask": mask, "labels": torch.arange(N) % 3}
    examples = [{name: one[i] for name, one in rows.items()} for i in range(N)]
    return DataLoader(examples, batch_size=N)


def prices() -> Prices:
    torch.manual_seed(1)
    return Prices()


def measured(host: LightningModule, callback: UnderAttack | None, data: Any) -> Any:
    run = trainer(*([] if callback is None else [callback]))
    run.test(host, data, verbose=False)
    return run


def test_the_test_s_own_metric_is_that_of_the_step_of_steepest_ascent() -> None:
    host, (x, y) = prices(), numbers()
    run = measured(host, UnderAttack(GradientAttack(0.1, norm="inf")), loader())
    host.eval()
    moved = x.clone().requires_grad_()
    F.mse_loss(host.net(moved), y).backward()
    expected = x + 0.1 * moved.grad.sign()
    torch.testing.assert_close(host.seen[0], expected)
    with torch.no_grad():
        clean, attacked = (float(F.mse_loss(host.net(one), y)) for one in (x, expected))
    assert float(run.callback_metrics["test/mse"]) == pytest.approx(attacked)
    assert attacked > clean
    assert float(run.callback_metrics["attacked/distortion"]) == pytest.approx(0.1, rel=1e-5)


def test_a_validation_is_attacked_too_and_ten_steps_raise_the_loss_as_far_as_one() -> None:
    values = []
    for attack in (None, GradientAttack(0.3), GradientAttack(0.3, steps=10)):
        run = trainer(*([] if attack is None else [UnderAttack(attack)]))
        run.validate(prices(), loader(), verbose=False)
        values.append(float(run.callback_metrics["val/mse"]))
    clean, one, ten = values
    assert clean < one
    assert ten >= one * (1 - 1e-5)


def test_the_input_stays_within_its_bounds() -> None:
    host = prices()
    attack = GradientAttack(5.0, norm="inf")
    measured(host, UnderAttack(attack, bounds=Bounds(0.0, 1.0)), loader())
    assert set(host.seen[0].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("per_token", [True, False])
def test_embeddings_move_by_the_given_length_and_padding_stays(
    per_token: bool,
) -> None:
    host, (batch,) = Sentences(), texts()
    attack = GradientAttack(0.5, steps=3)
    callback = UnderAttack(attack, layer="embedding", mask="mask", per_token=per_token)
    measured(host, callback, texts())
    change = host.seen[0] - host.embedding(batch["ids"])
    assert not change[batch["mask"] == 0].any()
    lengths = change.norm(dim=2) if per_token else change.flatten(1).norm(dim=1)
    moved = lengths[batch["mask"] == 1] if per_token else lengths
    torch.testing.assert_close(moved, torch.full_like(moved, 0.5))


def random_states() -> list[Any]:
    own = np.random.get_state()[1].tolist()
    return [torch.get_rng_state().tolist(), random.getstate(), own]


def test_weights_modes_and_random_states_are_as_after_a_test_without_it() -> None:
    attack = GradientAttack(0.3, steps=2, random_start=True)
    after = []
    for callback in (None, UnderAttack(attack)):
        host = prices()
        weights = {name: value.clone() for name, value in host.state_dict().items()}
        run = measured(host, callback, loader())
        after.append(random_states())
        assert host.training
        assert all(torch.equal(one, weights[name]) for name, one in host.state_dict().items())
        assert all(one.grad is None for one in host.parameters())
        assert "train/loss" not in run.callback_metrics
    assert after[0] == after[1]


def test_the_strategy_s_step_is_its_own_again_also_after_a_failure() -> None:
    run = measured(prices(), UnderAttack(GradientAttack(0.3)), loader())
    assert "test_step" not in vars(run.strategy)
    failing = trainer(UnderAttack(GradientAttack(0.3)))
    with pytest.raises(UserError):
        failing.test(Sentences(), texts(), verbose=False)
    assert "test_step" not in vars(failing.strategy)


def test_the_same_seed_gives_the_same_examples() -> None:
    def seen(seed: int) -> Tensor:
        host = prices()
        attack = GradientAttack(0.3, step_size=0.01, random_start=True)
        measured(host, UnderAttack(attack, seed=seed), loader())
        return host.seen[0]

    assert torch.equal(seen(0), seen(0))
    assert not torch.equal(seen(0), seen(1))


def test_a_fit_is_refused_and_the_test_that_the_message_names_works() -> None:
    host, callback = prices(), UnderAttack(GradientAttack(0.1))
    with pytest.raises(UserError, match=r"not in a training: .* the Trainer whose `test` you call"):
        trainer(callback).fit(host, loader())
    run = measured(host, callback, loader())
    assert "test/mse" in run.callback_metrics


def test_a_prediction_is_refused() -> None:
    with pytest.raises(UserError, match="not in a prediction"):
        trainer(UnderAttack(GradientAttack(0.1))).predict(prices(), loader())


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_a_lightning_that_does_not_call_the_step_is_said(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "lit_intriguing.callbacks.under_attack.replace_strategy_step"
    monkeypatch.setattr(module, lambda *given: None)
    with pytest.raises(StepNotCalledError, match="UnderAttack had no effect on the first batch"):
        getattr(trainer(UnderAttack(GradientAttack(0.1))), stage)(prices(), loader())


def test_an_attack_that_searches_for_a_border_is_refused() -> None:
    with pytest.raises(ValueError, match="use GradientAttack"):
        UnderAttack(BoxLBFGS())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "holds no floating-point inputs .* AdversarialExamples\\(layer='embedding'\\)"),
        ({"layer": "embedding", "mask": "masks"}, "mask='masks' must name an entry"),
    ],
    ids=["ids", "no mask"],
)
def test_what_cannot_be_attacked_is_said(
    options: dict[str, str],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        measured(Sentences(), UnderAttack(GradientAttack(0.1), **options), texts())


def test_an_unknown_layer_is_said_with_the_nearest_names() -> None:
    callback = UnderAttack(GradientAttack(0.1), layer="embeding")
    with pytest.raises(UnknownLayerError, match="Nearest names: embedding"):
        measured(Sentences(), callback, texts())
