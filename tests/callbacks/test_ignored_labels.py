"""Examples whose label is no class, as losses ignore them, in the callbacks that choose some."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialExamples, TrainingError, TransferEvaluation
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_training import CLASSES, Host, data, trainer

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")

ROWS = 24


class Ignores(Host):
    """Leaves a label out of the loss."""

    def __init__(self, ignored: int) -> None:
        super().__init__()
        self.ignored = ignored

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1], ignore_index=self.ignored)


class Stream(IterableDataset[Any]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.pairs = list(zip(x, y, strict=True))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pairs)


def partly(ignored: int) -> tuple[Tensor, Tensor]:
    x, y = data(rows=ROWS)
    y[::3] = ignored
    return x, y


def loader(x: Tensor, y: Tensor, streamed: bool) -> DataLoader[Any]:
    return DataLoader(Stream(x, y) if streamed else TensorDataset(x, y), batch_size=ROWS)


@pytest.mark.integration
@pytest.mark.parametrize("ignored", [255, -1, -100, CLASSES])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", [AdversarialExamples, TransferEvaluation])
def test_they_are_left_out_of_the_choice_and_this_is_said_once(
    kind: Any, streamed: bool, ignored: int, tmp_path: Path
) -> None:
    callback = kind(GradientAttack(0.3), examples=ROWS, dirpath=tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = trainer(callback, max_epochs=2, max_steps=-1)
        run.fit(Ignores(ignored), loader(*partly(ignored), streamed))
    about = [str(one.message) for one in told if "no class" in str(one.message)]
    (said,) = about
    assert said.startswith(f"{kind.__name__} leaves out 8 of the 24 examples")
    assert f"({ignored})" in said
    _, labels = callback.state_dict()["rows"]
    assert sorted(labels.tolist()) == sorted(y for y in partly(ignored)[1].tolist() if y != ignored)
    assert run.callback_metrics[f"{callback.name}/success"] >= 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", [AdversarialExamples, TransferEvaluation])
def test_where_no_label_is_a_class_one_sentence_says_so_and_its_way_out_works(
    kind: Any, streamed: bool, tmp_path: Path
) -> None:
    x, y = data(rows=ROWS)
    pairs = TensorDataset(x, torch.full((ROWS,), 255), y)
    batches = DataLoader(Stream(*pairs.tensors[:2]) if streamed else pairs, batch_size=ROWS)
    message = rf"{kind.__name__}: none of the examples .* labels=<key or position>"
    attack = GradientAttack(0.1)
    with pytest.raises(UserError, match=message):
        trainer(kind(attack, examples=4, dirpath=tmp_path)).fit(Ignores(255), batches)
    if not streamed:
        callback = kind(attack, examples=4, labels=2, dirpath=tmp_path)
        trainer(callback).fit(Ignores(255), batches)


def test_they_do_not_count_in_the_training_error() -> None:
    x, y = partly(255)
    host, measured = Ignores(255), TrainingError()
    trainer(measured).fit(host, TensorLoader(x, y, ROWS))
    known = y != 255
    wrong = host(x[known]).argmax(1) != y[known]
    assert measured.errors["train/error"] == pytest.approx(float(wrong.float().mean()))


class Squeezes(Host):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze()


@pytest.mark.parametrize("rows", [1, 2])
def test_a_network_that_squeezes_a_single_example_keeps_its_classes(
    rows: int, tmp_path: Path
) -> None:
    x, _ = data(rows=rows)
    y = torch.full((rows,), CLASSES - 1)
    callback = AdversarialExamples(GradientAttack(0.1), examples=4, dirpath=tmp_path)
    run = trainer(callback)
    if rows == 1:  # its output is no row of logits
        with pytest.raises(UserError):
            run.fit(Squeezes(), loader(x, y, streamed=False))
        return
    run.fit(Squeezes(), loader(x, y, streamed=False))
    assert callback.state_dict()["rows"][1].tolist() == y.tolist()
