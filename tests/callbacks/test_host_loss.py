"""AdversarialTraining toward a larger loss of the host: on hosts that are no classifiers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from tests.callbacks.test_adversarial_training import trainer

N = 8


class Host(LightningModule):
    """A project's module: a network, and a loss of its output and of the batch."""

    def __init__(self, net: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, x: Tensor) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def dense(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, outputs))


def conv(outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, outputs, 1))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.other = nn.Linear(5, 7), nn.Linear(7, 3), nn.Linear(7, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x).tanh()
        return {"one": self.one(hidden), "other": self.other(hidden)}


class Mixup(Host):
    """Mixes the rows of its batch and their labels, as Lightning's own answers advise."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        order = torch.randperm(len(x))
        logits = self(0.7 * x + 0.3 * x[order])
        return 0.7 * F.cross_entropy(logits, y) + 0.3 * F.cross_entropy(logits, y[order])


class Pairs(Host):
    """Two views of each row, and a contrastive loss over the whole batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        (first, second), _ = batch
        likeness = F.normalize(self(first)) @ F.normalize(self(second)).T
        return F.cross_entropy(likeness / 0.1, torch.arange(len(first)))


class Boxes(Host):
    """Lists of boxes, one for each image, of different lengths."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, targets = batch
        found = self(images)
        losses = [
            (one - t["boxes"].mean(0)).square().sum() for one, t in zip(found, targets, strict=True)
        ]
        return torch.stack(losses).mean()


class Text(LightningModule):
    """Token ids, their mask, and a label; the network takes them by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.top = nn.Embedding(11, 6), nn.Linear(6, 3)

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor | None = None) -> Any:
        hidden = self.embedding(ids) * mask.unsqueeze(2)
        logits = self.top(hidden.sum(1) / mask.sum(1, keepdim=True))
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(**batch)["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Encoding(dict):  # type: ignore[type-arg]
    """A mapping of a library's own type, with attributes, as transformers has it."""


@dataclass
class Fields:
    x: Tensor
    y: Tensor


class OfFields(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(self(batch.x), batch.y)


class TakesTensor(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(self(batch), batch)


def rows(count: int = N, seed: int = 0) -> Tensor:
    return torch.rand(count, 5, generator=torch.Generator().manual_seed(seed))


def images(count: int = N) -> Tensor:
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def classes(shape: tuple[int, ...], k: int = 3) -> Tensor:
    return torch.randint(k, shape, generator=torch.Generator().manual_seed(1))


def boxes() -> list[dict[str, Tensor]]:
    return [{"boxes": torch.rand(1 + k % 3, 3)} for k in range(N)]


def mse_of_both(out: Any, y: Any) -> Tensor:
    return F.cross_entropy(out["one"], y) + (out["other"][:, 0] - y).square().mean()


def dice(out: Tensor, y: Tensor) -> Tensor:
    p = out.softmax(1)[:, 1]
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())


mse, bce, ce = F.mse_loss, F.binary_cross_entropy_with_logits, F.cross_entropy
soft = torch.softmax(rows(seed=2)[:, :3] * 5, 1)

# Of each kind: host, batch, layer that is attacked beside the input, whether rows join.
KINDS: dict[str, tuple[Callable[[], LightningModule], Any, str, bool]] = {
    "regression": (lambda: Host(dense(), mse), (rows(), rows(seed=1)[:, :3]), "net.0", True),
    "one value": (lambda: Host(dense(1), mse), (rows(), rows(seed=1)[:, :1]), "net.0", True),
    "multi-label": (
        lambda: Host(dense(), bce), (rows(), classes((N, 3), 2).float()), "net.0", True,
    ),
    "soft labels": (lambda: Host(dense(), ce), (rows(), soft), "net.0", True),
    "segmentation": (lambda: Host(conv(), ce), (images(), classes((N, 6, 6), 2)), "net.0", True),
    "dice": (lambda: Host(conv(), dice), (images(), classes((N, 6, 6), 2)), "net.0", False),
    "two heads": (
        lambda: Host(TwoHeads(), mse_of_both), (rows(), classes((N,))), "net.body", True,
    ),
    "mixup": (lambda: Mixup(dense(), ce), (rows(), classes((N,))), "net.0", False),
    "pairs": (
        lambda: Pairs(dense(), ce), ([rows(), rows(seed=1)], classes((N,))), "net.0", False,
    ),
    "boxes": (lambda: Boxes(nn.Sequential(dense()), ce), (rows(), boxes()), "net.0.0", True),
    "dataclass": (lambda: OfFields(dense(), mse), Fields(rows(), rows(seed=1)[:, :3]), "net.0", True),
    "inputs alone": (
        lambda: TakesTensor(dense(5), mse), rows(), "net.0", True,
    ),
}  # fmt: skip


def plan(**options: Any) -> PerturbedLayer:
    sizes: dict[str, Any] = {"attack": GradientAttack(0.2), "pool": N, "mix": N, "refresh": N}
    return PerturbedLayer(**{**sizes, **options})


def fit(host: LightningModule, batch: Any, *callbacks: Any, steps: int = 2, **options: Any) -> None:
    torch.manual_seed(0)
    loader = DataLoader([batch] * steps, batch_size=None)
    trainer(*callbacks, max_steps=steps, **options).fit(host, loader)


def loss_of(host: LightningModule, batch: Any) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss: Tensor = host.training_step(batch, 0)
    return loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep_out", [None, True])
@pytest.mark.parametrize("where", ["input", "hidden"])
def test_hosts_of_every_kind_get_examples_that_raise_their_loss(
    kind: str, keep_out: bool | None, where: str
) -> None:
    make, batch, hidden, _ = KINDS[kind]
    host = make()
    layer = "" if where == "input" else hidden
    callback = AdversarialTraining({layer: plan()}, keep_out=keep_out)
    fit(host, batch, callback, steps=3, log_every_n_steps=1)
    pool = callback.pools.by_layer[layer]
    assert callback.pools.layers[layer].goal == HostLoss()
    assert len(pool) == N
    values = callback.measures.report()
    name = f"adversarial/{layer or 'input'}"
    assert values[f"{name}/loss"] > values[f"{name}/loss_clean"]
    assert 0 < values[f"{name}/distortion"] <= 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_rows_join_where_the_loss_is_a_mean_over_them_and_else_get_a_call_of_their_own(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, batch, _, joins = KINDS[kind]
    with caplog.at_level("INFO", logger="lightning.pytorch"):
        fit(make(), batch, AdversarialTraining({"": plan()}))
    said = [one.message for one in caplog.records if "examples toward" in one.message]
    assert len(said) == 1
    assert ("in the host's batch" in said[0]) == joins, said
