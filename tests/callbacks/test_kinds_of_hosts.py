"""AdversarialTraining and the callbacks that measure on hosts of many kinds."""

from collections import namedtuple
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from lit_intriguing.attacks import (
    GradientAttack,
    HostLoss,
    RandomTargets,
    SecondLikeliest,
    TrueLabels,
)
from lit_intriguing.callbacks import AdversarialExamples, AdversarialTraining, TransferEvaluation
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_training import (
    CLASSES,
    FEATURES,
    Gradients,
    Host,
    N,
    data,
    plan,
    trainer,
)

Outputs = namedtuple("Outputs", ["logits", "aux"])


def batches(*batch: Any, times: int = 1) -> DataLoader[Any]:
    whole = batch[0] if len(batch) == 1 else batch
    return DataLoader([0] * times, batch_size=None, collate_fn=lambda _: whole)


class Converts(Host):
    """Takes labels of any integer type, and leaves -1 out of the loss."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1].long(), ignore_index=-1)


INTEGERS = [torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.bool]


@pytest.mark.parametrize("keep_out", [False, True])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_labels_of_any_integer_type_train_as_int64_does(dtype: torch.dtype, keep_out: bool) -> None:
    x, y = data()
    y = y % 2
    found = []
    for labels in (y, y.to(dtype)):
        torch.manual_seed(0)
        gradients = Gradients()
        layers = {"": plan(), "net.1": plan(weight=0.5, goal=TrueLabels())}
        callback = AdversarialTraining(layers, keep_out=keep_out, seed=0)
        trainer(callback, gradients).fit(Converts(), batches(x, labels))
        found.append(gradients.found)
    assert all(map(torch.equal, *found))


@pytest.mark.filterwarnings("ignore:AdversarialTraining. examples join the host's batch")
@pytest.mark.parametrize("keep_out", [False, True])
@pytest.mark.parametrize("goal", [None, TrueLabels(), SecondLikeliest()], ids=str)
@pytest.mark.parametrize("attack", [GradientAttack(0.1), GradientAttack(0.1, steps=2)], ids=str)
def test_examples_whose_label_the_loss_ignores_are_no_error(
    attack: Any, goal: Any, keep_out: bool
) -> None:
    x, y = data()
    y[::3] = -1
    one = plan(goal=goal)
    callback = AdversarialTraining(
        {"": type(one)(**{**vars(one), "attack": attack})}, keep_out=keep_out
    )
    host = Converts()
    trainer(callback, max_steps=3).fit(host, batches(x, y, times=3))
    assert all(p.isfinite().all() for p in host.parameters())
    assert (callback.pools.by_layer[""].filled("labels") == -1).sum() == N // 3


class OneLogit(Host):
    """Binary, with one logit of each example."""

    def __init__(self, flat: bool) -> None:
        super().__init__(net=nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, 1)))
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1) if self.flat else self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        z = self(batch[0])
        return F.binary_cross_entropy_with_logits(z.view(-1), batch[1].float())


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_joins_in_later_steps_too(flat: bool) -> None:
    x, y = data()
    callback = AdversarialTraining({"": plan(), "net.1": plan()})
    trainer(callback, max_steps=3).fit(OneLogit(flat), batches(x, y % 2, times=3))
    # A warning, that they get a call of their own, would be an error.
    assert {one.goal for one in callback.pools.layers.values()} == {RandomTargets()}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("layer", ["", "net.1"])
def test_one_logit_follows_the_formula_of_its_own_loss(flat: bool, layer: str) -> None:
    torch.manual_seed(0)
    x, y = data()[0], data()[1] % 2
    host, gradients = OneLogit(flat), Gradients()
    callback = AdversarialTraining({layer: plan(weight=3.0, stale=False)})
    before = {name: p.detach().clone() for name, p in host.named_parameters()}
    trainer(callback, gradients).fit(host, batches(x, y))
    host.load_state_dict(before)
    stored = callback.pools.by_layer[layer]
    if layer:
        hidden = host.net[:2](stored.filled("inputs")).detach() + stored.filled("perturbation")
        z = host.net[2](hidden)
    else:
        z = host.net(stored.filled("inputs"))
    own = F.binary_cross_entropy_with_logits(host.net(x)[:, 0], y.float())
    theirs = F.binary_cross_entropy_with_logits(z[:, 0], stored.filled("labels").float())
    wanted = torch.autograd.grad((own + 3 * theirs) / 4, list(host.parameters()))
    for found, right in zip(gradients.found, wanted, strict=True):
        torch.testing.assert_close(found, right)


@pytest.mark.filterwarnings("ignore:The batch's entries")
def test_beside_one_logit_only_two_labels_are_classes() -> None:
    x, y = data()
    many = batches(x, y.clamp(max=2))
    with pytest.raises(UserError, match=r"tells label 1 from label 0, and labels go up to 2"):
        trainer(AdversarialTraining({"": plan(goal=RandomTargets())})).fit(OneLogit(True), many)
    callback = AdversarialTraining({"": plan()})
    trainer(callback).fit(OneLogit(True), many)
    assert callback.pools.layers[""].goal == HostLoss()
    two = {"x": x, "many": y, "y": y % 2}

    class Named(OneLogit):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step((batch["x"], batch["y"]), batch_idx)

    trainer(AdversarialTraining({"": plan()}, labels="y")).fit(Named(True), batches(two))


class SkipsBefore(Host):
    """Skips every other batch before the network sees it."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) if batch_idx % 2 == 0 else None


@pytest.mark.filterwarnings("ignore:.*training_step.* returned .None.")
@pytest.mark.parametrize("keep_out", [False, True])
def test_batches_skipped_with_a_hidden_layer_attacked_are_no_error(keep_out: bool) -> None:
    host = SkipsBefore()
    callback = AdversarialTraining({"net.1": plan()}, keep_out=keep_out)
    trainer(callback, max_steps=4).fit(host, batches(*data(), times=4))
    assert host.rows == [N if keep_out else 2 * N] * 2


class Heads(nn.Module):
    """Auxiliary head in training, as torchvision's GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh())
        self.main, self.aux = nn.Linear(5, CLASSES), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Any:
        hidden = self.body(x)
        return Outputs(self.main(hidden), self.aux(hidden)) if self.training else self.main(hidden)


class AuxHost(Host):
    def __init__(self) -> None:
        super().__init__(net=Heads())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(self(batch[0]), batch[1])

    def loss(self, out: Any, y: Tensor) -> Tensor:
        return F.cross_entropy(out.logits, y) + 0.3 * F.cross_entropy(out.aux, y)


def test_auxiliary_heads_are_weighted_with_the_logits() -> None:
    torch.manual_seed(0)
    host, gradients = AuxHost(), Gradients()
    callback = AdversarialTraining({"": plan(weight=3.0)})
    before = {name: p.detach().clone() for name, p in host.named_parameters()}
    trainer(callback, gradients).fit(host, batches(*data()))
    host.load_state_dict(before)
    host.train()
    stored = callback.pools.by_layer[""]
    x, y = data()
    theirs = host.loss(host(stored.filled("inputs")), stored.filled("labels"))
    wanted = torch.autograd.grad((host.loss(host(x), y) + 3 * theirs) / 4, list(host.parameters()))
    for found, right in zip(gradients.found, wanted, strict=True):
        torch.testing.assert_close(found, right)


class Pairs(Host):
    """A network that returns features and logits of one shape, which only the user can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(CLASSES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.net(x)
        return hidden, self.top(hidden)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0])[1], batch[1])


class ByKeywords(Host):
    """`forward(**batch)`, as the tutorials of transformers write it."""

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        logits = self.net(batch["pixels"])
        found = {"logits": logits}
        if "labels" in batch:
            found["loss"] = F.cross_entropy(logits, batch["labels"])
        return found

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(**batch)["loss"]


def measuring(tmp_path: Any, **options: Any) -> list[Any]:
    some = {"examples": 4, "dirpath": tmp_path, **options}
    return [
        AdversarialExamples(GradientAttack(0.1), **some),
        TransferEvaluation(GradientAttack(0.1), **some),
    ]


@pytest.mark.parametrize(
    "output", [1, -1, "1", lambda out: out[1]], ids=["index", "last", "text", "function"]
)
def test_advice_on_a_doubtful_output_works(tmp_path: Any, output: Any) -> None:
    toward_classes = AdversarialTraining({"": plan(goal=TrueLabels())})
    for callback in (toward_classes, *measuring(tmp_path, goal=TrueLabels())):
        with pytest.raises(UserError, match=r"2 of its entries could be .*output=<key or"):
            trainer(callback).fit(Pairs(), batches(*data()))
    callbacks = [AdversarialTraining({"": plan()}, output=output)]
    loop = trainer(*callbacks, *measuring(tmp_path, output=output), max_steps=2)
    loop.fit(Pairs(), batches(*data(), times=2))


@pytest.mark.parametrize("keep_out", [False, True])
def test_forward_of_keywords_gets_the_inputs_by_name(tmp_path: Any, keep_out: bool) -> None:
    x, y = data()
    callback = AdversarialTraining({"": plan(), "net.1": plan()}, keep_out=keep_out)
    loop = trainer(callback, *measuring(tmp_path), max_steps=2)
    loop.fit(ByKeywords(), batches({"pixels": x, "labels": y}, times=2))
    assert len(callback.pools.by_layer[""]) == N


class Nested(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        (x, _), target = batch["d"], batch["t"]
        return super().training_step((x, target["y"]), batch_idx)


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"inputs": "d.0", "labels": "t.y"},
        {"inputs": lambda batch: batch["d"][0], "labels": lambda batch: batch["t"]["y"]},
    ],
    ids=["found", "paths", "functions"],
)
def test_nested_batches_are_joined(tmp_path: Any, where: Any) -> None:
    x, y = data()
    host = Nested()
    loop = trainer(AdversarialTraining({"": plan()}, **where), *measuring(tmp_path, **where))
    loop.fit(host, batches({"d": (x, "note"), "t": {"y": y}}))
    assert host.rows == [2 * N]


class Masked(Host):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.net(x * mask)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0], torch.ones(1)), batch[1])


class MaskedByDefault(Masked):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, torch.ones(1) if mask is None else mask)


@pytest.mark.parametrize("keep_out", [False, True])
def test_forward_that_wants_more_is_refused_and_a_default_works(keep_out: bool) -> None:
    def fit(host: LightningModule, goal: Any = None, **options: Any) -> Any:
        callback = AdversarialTraining({"": plan(goal=goal)}, keep_out=keep_out, **options)
        trainer(callback).fit(host, batches(*data()))
        return callback.pools.layers[""].goal

    with pytest.raises(UserError, match=r"called Masked .* 'mask'.* model=<name>, or .* default"):
        fit(Masked(), TrueLabels())
    assert fit(Masked()) == HostLoss()
    assert fit(MaskedByDefault()) == RandomTargets()
    assert fit(Masked(), model="net") == RandomTargets()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("keep_out", [False, True])
def test_scripted_network_is_attacked_at_the_input_and_its_statistics_stay(keep_out: bool) -> None:
    norm = nn.BatchNorm1d(FEATURES)
    host = Host(net=torch.jit.script(nn.Sequential(norm, nn.Linear(FEATURES, CLASSES))))
    trainer(AdversarialTraining({"": plan()}, keep_out=keep_out)).fit(host, batches(*data()))
    # By the host's own batch: not by the pool's, by the making of examples or by trials.
    assert int(host.state_dict()["net.0.num_batches_tracked"]) == 1
    with pytest.raises(UserError, match=r"compiled by TorchScript.* Name the input"):
        trainer(AdversarialTraining({"net.1": plan()})).fit(host, batches(*data()))


class SemiSupervised(Host):
    """Passes other rows, as many as the joined batch has, through the same network."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        torch.manual_seed(0)
        others = torch.rand(2 * N, FEATURES)
        first = self(others) if batch_idx % 2 else None
        loss = F.cross_entropy(self(batch[0]), batch[1])
        found = self(others) if first is None else first
        own = F.linear(torch.tanh(self.by_hand(others)), self.net[4].weight, self.net[4].bias)
        torch.testing.assert_close(found, own)
        return loss + 0.1 * found.square().mean()

    def by_hand(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(F.linear(x, self.net[0].weight, self.net[0].bias))
        return F.linear(hidden, self.net[2].weight, self.net[2].bias)


def test_other_rows_that_pass_through_an_attacked_layer_keep_their_activations() -> None:
    host = SemiSupervised()
    callback = AdversarialTraining({"net.1": plan()})
    trainer(callback, max_steps=4).fit(host, batches(*data(), times=4))


class Seen(Host):
    """Keeps what each step saw: first number and rows."""

    def __init__(self) -> None:
        super().__init__()
        self.lr, self.batch_size = 0.1, N
        self.seen: list[tuple[float, int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append((float(batch[0][0, 0]), len(batch[0])))
        return super().training_step(batch, batch_idx)

    def train_dataloader(self) -> Any:
        x, y = data(rows=8 * N)
        return DataLoader(list(zip(x, y, strict=True)), batch_size=self.batch_size)


@pytest.mark.parametrize("layer", ["", "net.1"])
def test_rate_finder_sees_each_batch_once_with_its_examples(tmp_path: Any, layer: str) -> None:
    host = Seen()
    finder = LearningRateFinder(num_training_steps=6, early_stop_threshold=None)
    callback = AdversarialTraining({layer: plan()})
    loop = trainer(callback, finder, default_root_dir=tmp_path, enable_checkpointing=True)
    loop.fit(host)
    assert len({first for first, _ in host.seen[:6]}) == 6
    assert {rows for _, rows in host.seen} == {2 * N}
    assert callback.pools.step == 1  # the search left no trace


@pytest.mark.integration
def test_batch_size_finder_counts_the_examples(tmp_path: Any) -> None:
    def fit(*callbacks: Any) -> list[tuple[float, int]]:
        host = Seen()
        finder = BatchSizeFinder(max_trials=3, steps_per_trial=2, init_val=8)
        trainer(*callbacks, finder, default_root_dir=tmp_path).fit(host)
        return host.seen

    found = fit(AdversarialTraining({"": plan(mix=5, refresh=5)}))
    assert found == [(first, rows + 5) for first, rows in fit()]
    assert len({rows for _, rows in found}) > 1
