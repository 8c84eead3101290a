"""AdversarialTraining toward a larger loss of the host: on hosts that are no classifiers."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from lit_intriguing.attacks import BoxLBFGS, GradientAttack, HostLoss, RandomTargets
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_training import Gradients, trainer

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


def one_number() -> nn.Module:
    """Return a network with outputs `(N,)`."""
    return nn.Sequential(dense(1), nn.Flatten(0))


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


class Graphs:
    """Several graphs in one, like a mapping but none, as torch_geometric has it."""

    def __init__(self, **entries: Tensor) -> None:
        self.entries = entries

    def keys(self) -> list[str]:
        return list(self.entries)

    def __getitem__(self, key: str) -> Tensor:
        return self.entries[key]

    def __setitem__(self, key: str, entry: Tensor) -> None:
        self.entries = {**self.entries, key: entry}


class OfGraphs(LightningModule):
    """Sends messages along edges and predicts a value for each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.top = nn.Linear(5, 4), nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        hidden = self.net(batch["x"]).tanh()
        source, target = batch["edges"]
        hidden = hidden.index_add(0, target, hidden[source])
        of_graphs = hidden.new_zeros(len(batch["y"]), 4).index_add(0, batch["graph"], hidden)
        return F.mse_loss(self.top(of_graphs)[:, 0], batch["y"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-4)


def graphs(nodes: int, edges: int) -> Graphs:
    generator = torch.Generator().manual_seed(nodes)
    return Graphs(
        x=torch.rand(nodes, 5, generator=generator),
        edges=torch.randint(nodes, (2, edges), generator=generator),
        graph=torch.arange(nodes) % 3,
        y=torch.rand(3, generator=generator),
    )


@pytest.mark.parametrize("layer", ["", "net"])
@pytest.mark.parametrize("steps", [1, 2])
def test_batches_whose_examples_cannot_be_told_apart_are_held_whole(layer: str, steps: int) -> None:
    callback = AdversarialTraining({layer: plan(attack=GradientAttack(0.2, steps=steps), pool=30)})
    batches = [graphs(7, 9), graphs(9, 12), graphs(7, 9), graphs(8, 3)]
    torch.manual_seed(0)
    host = OfGraphs()
    trainer(callback, max_steps=4, log_every_n_steps=1).fit(
        host, DataLoader(batches, batch_size=None)
    )
    stored = callback.pools.by_layer[layer].state_dict()["rows"]
    assert [len(row["inputs"]) for row in stored] == [7, 9, 7, 8]
    for batch, row in zip(batches, stored, strict=True):
        assert torch.equal(row["rest:edges"], batch["edges"])
    if not layer:
        lengths = (stored[0]["inputs"] - batches[0]["x"]).norm(dim=1)
        assert lengths.max() <= 0.2 + 1e-6
        assert lengths.min() > 0
    values = callback.measures.report()
    name = f"adversarial/{layer or 'input'}"
    assert values[f"{name}/loss"] > values[f"{name}/loss_clean"]


def test_pools_of_whole_batches_go_on_in_another_fit_and_from_a_checkpoint(tmp_path: Path) -> None:
    loader = DataLoader([graphs(7, 9), graphs(9, 12), graphs(8, 3)], batch_size=None)
    callback, host = AdversarialTraining({"net": plan(pool=35)}), OfGraphs()
    loop = trainer(callback, max_epochs=1, max_steps=-1)
    loop.fit(host, loader)
    loop.fit_loop.max_epochs = 2
    loop.fit(host, loader)
    assert (len(callback.pools.by_layer["net"]), callback.pools.layers["net"].pool) == (5, 5)
    loop.save_checkpoint(tmp_path / "last.ckpt")
    resumed = AdversarialTraining({"net": plan(pool=35)})
    trainer(resumed, max_epochs=3, max_steps=-1).fit(
        OfGraphs(), loader, ckpt_path=tmp_path / "last.ckpt", weights_only=False
    )
    assert (len(resumed.pools.by_layer["net"]), resumed.pools.layers["net"].pool) == (5, 5)


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


def mse_of_numbers(out: Tensor, y: Tensor) -> Tensor:
    return mse(out, y.float())


def dice(out: Tensor, y: Tensor) -> Tensor:
    p = out.softmax(1)[:, 1]
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())


mse, bce, ce = F.mse_loss, F.binary_cross_entropy_with_logits, F.cross_entropy
soft = torch.softmax(rows(seed=2)[:, :3] * 5, 1)

# Of each kind: host, batch, layer that is attacked beside the input, whether rows join.
KINDS: dict[str, tuple[Callable[[], LightningModule], Any, str, bool]] = {
    "regression": (lambda: Host(dense(), mse), (rows(), rows(seed=1)[:, :3]), "net.0", True),
    "one value": (lambda: Host(dense(1), mse), (rows(), rows(seed=1)[:, :1]), "net.0", True),
    "whole numbers": (
        lambda: Host(one_number(), mse_of_numbers), (rows(), classes((N,), 30)), "net.0.0", True,
    ),
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
    "dataclass": (
        lambda: OfFields(dense(), mse), Fields(rows(), rows(seed=1)[:, :3]), "net.0", True,
    ),
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
    # What was chosen is no mistake: the sentence gives the reason, and no advice.
    assert said[0].count(". ") == 0, said
    assert not said[0].endswith(".."), said
    assert "<" not in said[0], said


def test_the_log_says_that_a_loss_given_needs_a_forward_of_the_model_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    callback = AdversarialTraining({"": plan()}, keep_out=True, loss=nn.CrossEntropyLoss())
    with caplog.at_level("INFO", logger="lightning.pytorch"):
        fit(Host(dense(), ce), (rows(), classes((N,))), callback)
    assert "toward RandomTargets(), in a forward of the model of their own." in caplog.text


@pytest.mark.parametrize("keep_out", [None, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_loss_and_loss_clean_are_of_the_same_rows_and_the_hosts_also_with_classes(
    keep_out: bool | None, steps: int
) -> None:
    torch.manual_seed(0)
    loss = functools.partial(ce, label_smoothing=0.3)
    host, batch = Host(dense(), loss), (rows(), classes((N,)))
    one = plan(attack=GradientAttack(0.2, steps=steps), goal=HostLoss())
    callback = AdversarialTraining({"": one}, keep_out=keep_out)
    before = [p.detach().clone() for p in host.parameters()]
    fit(host, batch, callback, steps=1)
    if steps > 1:  # made and measured before the step
        for p, start in zip(host.parameters(), before, strict=True):
            p.data = start
    values, pool = callback.measures.report(), callback.pools.by_layer[""]
    with torch.no_grad():
        after = loss(host(pool.filled("inputs")), pool.filled("labels"))
        torch.testing.assert_close(values["adversarial/input/loss_clean"], loss_of(host, batch))
    torch.testing.assert_close(values["adversarial/input/loss"], after)


CALLED: list[int] = []
"""Rows of the batches of each call; aside from a host, which forgets calls aside."""


class Told(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        CALLED.append(len(batch[0]))
        return self.loss(self(batch[0]), batch[1])


def test_examples_with_a_call_of_their_own_are_tried_in_the_first_step_alone() -> None:
    callback = AdversarialTraining({"": plan(goal=RandomTargets())}, keep_out=True)
    CALLED.clear()
    fit(Told(dense(), ce), (rows(), classes((N,))), callback, steps=1)
    first = len(CALLED)
    CALLED.clear()
    fit(Told(dense(), ce), (rows(), classes((N,))), callback, steps=5)
    assert len(CALLED) == first + 4 * 2


def flat(gradients: list[Tensor]) -> Tensor:
    return torch.cat([one.flatten() for one in gradients])


def relative_error(found: list[Tensor], right: list[Tensor]) -> float:
    return float((flat(found) - flat(right)).norm() / flat(right).norm())


def weighted_mse(out: Tensor, y: Tensor) -> Tensor:
    """A mean that divides by something of the whole batch, as class weights do."""
    weights = y[:, :1] + 0.1
    return (weights * (out - y).square()).sum() / weights.sum()


def ignoring(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out, torch.where(y > 1, -1, y), ignore_index=-1)


LOSSES: dict[str, tuple[Callable[[Any, Any], Tensor], Tensor]] = {
    "mean": (mse, rows(seed=1)[:, :3]),
    "sum": (functools.partial(mse, reduction="sum"), rows(seed=1)[:, :3]),
    "weights": (weighted_mse, rows(seed=1)[:, :3]),
    "smoothing": (functools.partial(ce, label_smoothing=0.1), soft),
    "ignored": (ignoring, classes((N,))),
}


@pytest.mark.parametrize("layer", ["", "net.0"])
@pytest.mark.parametrize("keep_out", [None, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_step_follows_the_formula_of_the_hosts_own_loss(
    kind: str, keep_out: bool | None, layer: str
) -> None:
    loss, y = LOSSES[kind]
    torch.manual_seed(3)
    host, gradients, weight = Host(dense().double(), loss), Gradients(), 2.0
    batch = (rows().double(), y.double() if y.is_floating_point() else y)
    one = plan(weight=weight, goal=HostLoss(fresh=True), attack=GradientAttack(0.3), stale=False)
    callback = AdversarialTraining({layer: one}, keep_out=keep_out)
    before = [p.detach().clone() for p in host.parameters()]
    fit(host, batch, callback, gradients, steps=1)
    with torch.no_grad():
        for p, start in zip(host.parameters(), before, strict=True):
            p.copy_(start)
    stored = callback.pools.by_layer[layer]
    pool = {name: stored.filled(name) for name in stored.tensors}
    y = pool.get("labels", pool.get("rest:1"))
    if layer:
        hidden = host.net[0](pool["inputs"]).detach() + pool["perturbation"]
        out = host.net[1:](hidden)
    else:
        out = host.net(pool["inputs"])
    total = (loss(host(batch[0]), batch[1]) + weight * loss(out, y)) / (1 + weight)
    if keep_out is None and kind == "sum":  # times the number of groups, which have N each
        total = total * 2
    right = torch.autograd.grad(total, list(host.parameters()))
    assert relative_error(gradients.found, list(right)) < 1e-12


def test_kept_gradients_are_those_of_the_clean_rows_of_the_step_itself() -> None:
    torch.manual_seed(0)
    host = Host(dense(), mse)
    x, y = rows(), rows(seed=1)[:, :3]
    callback = AdversarialTraining({"": plan(), "net.0": plan(attack=GradientAttack(0.1))})
    leaf = x.clone().requires_grad_()
    hidden = host.net[0](leaf)
    g, h = torch.autograd.grad(mse(host.net[1:](hidden), y), [leaf, hidden])
    at_hidden = hidden.detach()
    fit(host, (x, y), callback, steps=1)
    for layer, start, gradient, name, eps in (
        ("", x, g, "inputs", 0.2),
        ("net.0", at_hidden, h, "activation", 0.1),
    ):
        wanted = start + eps * gradient / gradient.norm(dim=1, keepdim=True)
        found = callback.pools.by_layer[layer].filled(name)
        torch.testing.assert_close(found, wanted)


def test_a_search_of_several_steps_raises_the_loss_further_than_one() -> None:
    found = []
    for attack in (GradientAttack(1.0), GradientAttack(1.0, steps=10)):
        host = Host(dense(), mse)
        batch = rows(), rows(seed=1)[:, :3]
        callback = AdversarialTraining({"": plan(attack=attack, goal=HostLoss(fresh=True))})
        fit(host, batch, callback, steps=1, log_every_n_steps=1)
        found.append(float(callback.measures.report()["adversarial/input/loss"]))
    assert found[1] >= found[0]


def test_attacks_that_need_a_border_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"no border .* BoxLBFGS .*: use GradientAttack"):
        plan(attack=BoxLBFGS(), goal=HostLoss())
    with pytest.raises(UserError, match=r"no class labels and logits.*no border.*GradientAttack"):
        fit(
            Host(dense(), mse),
            (rows(), rows(seed=1)[:, :3]),
            AdversarialTraining({"": plan(attack=BoxLBFGS())}),
        )


def encoding(length: int, seed: int) -> Encoding:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(11, (N, length), generator=generator)
    lengths = torch.randint(1, length + 1, (N, 1), generator=generator)
    mask = (torch.arange(length) < lengths).long()
    return Encoding(ids=ids, mask=mask, labels=ids[:, 0] % 3)


@pytest.mark.parametrize("attack", [GradientAttack(0.2), GradientAttack(0.2, steps=3)], ids=str)
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("keep_out", [None, True])
def test_embeddings_of_text_are_perturbed_but_for_the_padding(
    attack: GradientAttack, per_token: bool, keep_out: bool | None
) -> None:
    one = plan(attack=attack, mask="mask", per_token=per_token, stale=False, pool=3 * N)
    callback = AdversarialTraining({"embedding": one}, keep_out=keep_out)
    torch.manual_seed(0)
    batches = [encoding(length, seed) for seed, length in enumerate((5, 5, 4, 7, 5))]
    trainer(callback, max_steps=5, log_every_n_steps=1).fit(
        Text(), DataLoader(batches, batch_size=None)
    )
    stored = callback.pools.by_layer["embedding"].state_dict()["rows"]
    assert {row["inputs"].shape for row in stored} == {(5,), (4,), (7,)}
    for row in stored:
        lengths, mask = row["perturbation"].norm(dim=1), row["rest:mask"].bool()
        assert not lengths[~mask].any()
        if per_token:
            torch.testing.assert_close(lengths[mask], torch.full_like(lengths[mask], 0.2))
        else:
            torch.testing.assert_close(lengths.norm(), torch.tensor(0.2))


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("goal", [HostLoss(), HostLoss(fresh=True)])
def test_lengths_in_units_of_the_norm_are_those_of_a_token_or_an_example(
    goal: HostLoss, per_token: bool
) -> None:
    one = plan(
        attack=GradientAttack(0.2), goal=goal, mask="mask", per_token=per_token, stale=False,
        relative="example", pool=N,
    )  # fmt: skip
    callback = AdversarialTraining({"embedding": one})
    torch.manual_seed(0)
    host = Text()
    activations: list[Tensor] = []
    host.embedding.register_forward_hook(lambda *call: activations.append(call[2].detach()))
    batches = DataLoader([encoding(5, 0)], batch_size=None)
    trainer(callback, max_steps=1, log_every_n_steps=1).fit(host, batches)
    pool = callback.pools.by_layer["embedding"]
    stored = zip(pool.filled("perturbation"), pool.filled("rest:mask").bool(), strict=True)
    for (perturbation, mask), clean in zip(stored, activations[0], strict=True):
        lengths = perturbation.norm(dim=1)
        assert not lengths[~mask].any()
        if per_token:
            torch.testing.assert_close(lengths[mask], 0.2 * clean.norm(dim=1)[mask])
        else:
            torch.testing.assert_close(lengths.norm(), 0.2 * clean[mask].norm())


@pytest.mark.parametrize("bounds", [None, (-0.1, 1.1)])
def test_lengths_in_units_of_the_norm_where_weights_are_frozen(
    bounds: tuple[float, float] | None,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    net[0].requires_grad_(False)
    callback = AdversarialTraining({"": plan(relative="example", bounds=bounds)})
    x = rows().clamp(0, 1)
    fit(Host(net, mse), (x, rows(seed=1)[:, :3]), callback, steps=1)
    moved = callback.pools.by_layer[""].filled("inputs")
    lengths, wanted = (moved - x).norm(dim=1), plan().attack.eps * x.norm(dim=1)
    if bounds is None:
        torch.testing.assert_close(lengths, wanted)
    else:
        assert (lengths < wanted * 1.0001).all()
        assert moved.min() >= bounds[0]
        assert moved.max() <= bounds[1]


def test_token_ids_themselves_are_refused_with_a_way_out_that_works() -> None:
    batches = DataLoader([encoding(5, 0)] * 2, batch_size=None)
    with pytest.raises(UserError, match=r"has no gradient. Attack the output of a layer"):
        trainer(AdversarialTraining({"": plan()})).fit(Text(), batches)
    trainer(AdversarialTraining({"embedding": plan()})).fit(Text(), batches)


class TakesIds(Text):
    """Gives logits for token ids alone too, as the models of transformers do."""

    def forward(self, ids: Tensor, mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
        mask = torch.ones_like(ids) if mask is None else mask
        return super().forward(ids, mask, torch.zeros_like(ids[:, 0]) if labels is None else labels)


@pytest.mark.parametrize("mask", [None, "mask"])
def test_text_whose_first_batch_has_no_padding_is_attacked_by_the_loss_of_its_step(
    mask: str | None,
) -> None:
    full = encoding(5, 0)
    full["mask"] = torch.ones_like(full["mask"])
    callback = AdversarialTraining({"embedding": plan(mask=mask)})
    trainer(callback, max_steps=2).fit(
        TakesIds(), DataLoader([full, encoding(5, 1)], batch_size=None)
    )
    assert callback.pools.layers["embedding"].goal == HostLoss()


class ByHand(Host):
    """Goes backward twice before its optimiser's step, and once after."""

    def __init__(self) -> None:
        super().__init__(dense(), mse)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        for part in (0, 1):
            self.manual_backward((self(batch[0])[:, part] - batch[1][:, part]).square().mean())
        optimizer.step()
        self.manual_backward(self(batch[0]).sum())


def test_in_manual_optimisation_the_gradient_is_the_sum_until_the_first_step() -> None:
    torch.manual_seed(0)
    host, (x, y) = ByHand(), (rows(), rows(seed=1)[:, :3])
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((host(leaf)[:, :2] - y[:, :2]).square().mean(), leaf)
    callback = AdversarialTraining({"": plan()})
    fit(host, (x, y), callback, steps=1)
    wanted = x + 0.2 * g / g.norm(dim=1, keepdim=True)
    torch.testing.assert_close(callback.pools.by_layer[""].filled("inputs"), wanted)
    fit(host, (x, y), callback, steps=3)


def test_manual_optimisation_refuses_what_would_call_the_step_again() -> None:
    for one in (plan(goal=HostLoss(fresh=True)), plan(attack=GradientAttack(0.1, steps=2))):
        with pytest.raises(UserError, match=r"manual optimisation the step cannot be called again"):
            fit(ByHand(), (rows(), rows(seed=1)[:, :3]), AdversarialTraining({"": one}))


class Editing(Host):
    """Changes its inputs in place and draws them."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.drawn = np.asarray(batch[0]).sum() + batch[0].numpy().sum()
        batch[0].mul_(2).clamp_(max=1.5)
        return self.loss(self(batch[0]), batch[1])


@pytest.mark.parametrize("keep_out", [None, True])
def test_steps_that_edit_or_draw_their_inputs_go_on(keep_out: bool | None) -> None:
    callback = AdversarialTraining({"": plan()}, keep_out=keep_out)
    fit(Editing(dense(), mse), (rows(), rows(seed=1)[:, :3]), callback, steps=3)
    assert len(callback.pools.by_layer[""]) == N


class Closures(Host):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)


def test_closures_leave_the_gradient_of_the_first_one() -> None:
    torch.manual_seed(0)
    host, (x, y) = Closures(dense(), mse), (rows(), rows(seed=1)[:, :3])
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(mse(host(leaf), y), leaf)
    callback = AdversarialTraining({"": plan()})
    fit(host, (x, y), callback, steps=1)
    wanted = x + 0.2 * g / g.norm(dim=1, keepdim=True)
    torch.testing.assert_close(callback.pools.by_layer[""].filled("inputs"), wanted)


@pytest.mark.parametrize("relative", [False, True, "example"])
def test_rows_without_a_gradient_are_not_pooled_and_counted(relative: bool | str) -> None:
    def masked(out: Tensor, y: Tensor) -> Tensor:
        return (out * (torch.arange(len(out)) % N < 6).unsqueeze(1)).square().mean()

    callback = AdversarialTraining({"": plan(relative=relative)})
    fit(Host(dense(), masked), (rows(), rows(seed=1)[:, :3]), callback, steps=1)
    assert len(callback.pools.by_layer[""]) == 6
    assert callback.measures.report()["adversarial/input/without_gradient"] == pytest.approx(2 / 8)


class Dropping(Host):
    """Dropout, BatchNorm and a counter of its calls."""

    def __init__(self) -> None:
        net = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.5), nn.Linear(7, 3))
        super().__init__(net, dice_of_rows)
        self.calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls += 1
        self.log("loss_of_host", 1.0)
        return super().training_step(batch, batch_idx)


def dice_of_rows(out: Tensor, y: Tensor) -> Tensor:
    return 1 - (out.sigmoid() * y).sum() / (out.sigmoid().sum() + y.sum())


def test_a_call_of_its_own_leaves_statistics_random_states_and_attributes_alone() -> None:
    found = []
    for callbacks in ([], [AdversarialTraining({"": plan(weight=1e-9)})]):
        torch.manual_seed(0)
        host = Dropping()
        fit(host, (rows(), rows(seed=1)[:, :3]), *callbacks, steps=4)
        found.append((host.state_dict(), host.calls, torch.get_rng_state()))
    (clean, calls, state), (mixed, calls_too, state_too) = found
    assert (calls, calls_too) == (4, 4)
    assert torch.equal(state, state_too)
    torch.testing.assert_close(mixed, clean, rtol=1e-5, atol=1e-6)


def test_an_explicit_goal_of_classes_is_refused_where_the_step_normalises() -> None:
    class Normalising(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.loss(self((batch[0] - 0.5) / 0.1), batch[1])

    batch = rows(), classes((N,))
    with pytest.raises(UserError, match=r"normalises .* Or leave goal out, or set goal=HostLoss"):
        fit(Normalising(dense(), ce), batch, AdversarialTraining({"": plan(goal=RandomTargets())}))
    for goal in (None, HostLoss()):
        fit(Normalising(dense(), ce), batch, AdversarialTraining({"": plan(goal=goal)}))


def in_half(scale: float) -> Any:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return MixedPrecision("16-mixed", "cpu", scaler=scaler)


@pytest.mark.parametrize("keep_out", [None, True])
def test_half_precision_with_a_scaler_follows_the_formula(keep_out: bool | None) -> None:
    torch.manual_seed(3)
    host, gradients, (x, y) = Host(dense(), mse), Gradients(), (rows(), rows(seed=1)[:, :3])
    one = plan(weight=2.0, goal=HostLoss(fresh=True))
    callback = AdversarialTraining({"": one}, keep_out=keep_out)
    before = [p.detach().clone() for p in host.parameters()]
    fit(host, (x, y), callback, gradients, steps=1, plugins=[in_half(2.0**8)])
    with torch.no_grad():
        for p, start in zip(host.parameters(), before, strict=True):
            p.copy_(start)
    stored = callback.pools.by_layer[""]
    theirs = mse(host(stored.filled("inputs")), stored.filled("rest:1"))
    right = torch.autograd.grad((mse(host(x), y) + 2 * theirs) / 3, list(host.parameters()))
    assert relative_error(gradients.found, list(right)) < 2e-3


def test_no_row_of_a_step_that_the_scaler_skips_enters_a_pool() -> None:
    torch.manual_seed(0)
    host = Host(dense(), mse)
    before = flat([p.detach().clone() for p in host.parameters()])
    callback = AdversarialTraining({"": plan(), "net.0": plan()})
    batch = rows(), rows(seed=1)[:, :3]
    with pytest.warns(UserWarning, match="no row of a batch had a gradient"):
        fit(host, batch, callback, steps=1, plugins=[in_half(2.0**40)])
    assert not len(callback.pools.by_layer[""])
    assert not len(callback.pools.by_layer["net.0"])
    assert torch.equal(flat([p.detach() for p in host.parameters()]), before)


class Critic(ByHand):
    """One output and whole numbers beside it, which no loss compares."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self(batch[0]).mean())
        optimizer.step()


def test_by_hand_whole_numbers_beside_one_output_are_no_classes() -> None:
    callback = AdversarialTraining({"": plan()})
    fit(Critic(), (rows(), torch.arange(N)), callback, steps=3)
    assert callback.pools.layers[""].goal == HostLoss()
    assert len(callback.pools.by_layer[""]) == N


class Augmenting(Host):
    """Changes its inputs where no gradient passes."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            x = batch[0].flip(1)
        return self.loss(self(x), batch[1])


def test_inputs_that_no_gradient_reaches_are_refused_with_a_way_out_that_works() -> None:
    batch = rows(), rows(seed=1)[:, :3]
    with pytest.raises(UserError, match=r"no gradient by the input.* Attack the output of another"):
        fit(Augmenting(dense(), mse), batch, AdversarialTraining({"": plan()}))
    callback = AdversarialTraining({"net.0": plan()})
    fit(Augmenting(dense(), mse), batch, callback)
    assert len(callback.pools.by_layer["net.0"]) == N


def test_a_second_fit_says_again_why_it_chose(caplog: pytest.LogCaptureFixture) -> None:
    callback, host = AdversarialTraining({"": plan()}), Host(dense(), mse)
    batches = DataLoader([(rows(), rows(seed=1)[:, :3])] * 2, batch_size=None)
    loop = trainer(callback, max_steps=2)
    loop.fit(host, batches)
    loop.fit_loop.epoch_loop.max_steps = 4
    caplog.clear()
    with caplog.at_level("INFO", logger="lightning.pytorch"):
        loop.fit(host, batches)
    (said,) = [one.message for one in caplog.records if "examples toward" in one.message]
    assert "because" in said


def test_examples_that_join_where_the_formula_does_not_hold_are_warned_about() -> None:
    by_class = functools.partial(ce, weight=torch.tensor([1.0, 5.0, 9.0]))
    batch = rows(), classes((N,))
    for callback in (
        AdversarialTraining({"": plan()}, keep_out=False),
        AdversarialTraining({"net.0": plan(at_layer=True)}),
    ):
        with pytest.warns(UserWarning, match=r"does not follow the formula.* Set keep_out=True"):
            fit(Host(dense(), by_class), batch, callback)
    fit(Host(dense(), by_class), batch, AdversarialTraining({"": plan()}, keep_out=True))


def test_inputs_that_are_not_numbers_are_said_to_be_none() -> None:
    host = Host(dense(), mse)
    broken = torch.full_like(rows(), torch.nan)
    with pytest.warns(UserWarning, match="none joined. Its inputs hold NaN or infinite values"):
        fit(host, (broken, rows(seed=1)[:, :3]), AdversarialTraining({"": plan()}), steps=1)
