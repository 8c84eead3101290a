from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.models import TextClassifier
from tests.models.test_segmenter import QUIET

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


def small(**options: Any) -> TextClassifier:
    torch.manual_seed(0)
    sizes = {"tokens": 9, "classes": 2, "length": 8, "width": 16, "heads": 2}
    return TextClassifier(**{**sizes, **options})


def texts(rows: int = 16) -> dict[str, Tensor]:
    """Texts of the class 1 hold token 3 right before token 4; the others after it."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 9, (rows, 8), generator=generator)
    labels = torch.arange(rows) % 2
    for row, label in enumerate(labels.tolist()):
        at = row % 4
        ids[row, at : at + 2] = torch.tensor([3, 4] if label else [4, 3])
    lengths = 6 + torch.arange(rows) % 3
    mask = (torch.arange(8) < lengths[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}


class Batches(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        yield texts()


def test_padding_does_not_change_a_text_s_logits() -> None:
    host, batch = small().eval(), texts()
    other = dict(batch, input_ids=torch.where(batch["attention_mask"] == 0, 7, batch["input_ids"]))
    torch.testing.assert_close(host.logits(batch), host.logits(other))
    shorter = {name: one[:1, :6] for name, one in batch.items() if name != "labels"}
    first = {name: one[:1] for name, one in batch.items()}
    torch.testing.assert_close(host.logits(shorter), host.logits(first))


def test_the_order_of_tokens_matters() -> None:
    host, batch = small().eval(), texts()
    turned = dict(batch, input_ids=batch["input_ids"][:, :6].flip(1))
    turned["attention_mask"] = batch["attention_mask"][:, :6]
    straight = dict(turned, input_ids=batch["input_ids"][:, :6])
    assert not torch.allclose(host.logits(turned), host.logits(straight), atol=1e-3)


def test_it_learns_the_order_of_two_tokens() -> None:
    host = small(optimizer=lambda p: torch.optim.Adam(p, lr=0.01), dropout=0.0)
    loader = torch.utils.data.DataLoader(Batches(), batch_size=None)
    trainer = Trainer(max_epochs=40, log_every_n_steps=1, **QUIET)
    trainer.fit(host, loader, loader)
    assert trainer.test(host, loader, verbose=False)[0]["test/error"] == 0
    (found,) = trainer.predict(host, loader)
    assert torch.equal(found, texts()["labels"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"length": 5}, "set the model's `length`"), ({"tokens": 7}, "set the model's `tokens`")],
    ids=str,
)
def test_texts_that_do_not_fit_are_refused_with_what_to_set(
    options: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        small(**options).logits(texts())


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match="3 heads do not divide a width of 16"):
        small(heads=3)
