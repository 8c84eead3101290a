"""AdversarialTraining against explicit formulas, on modules of many kinds, and against mistakes."""

import copy
import dataclasses
import pickle
from collections import namedtuple
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import (
    BoxLBFGS,
    GaussianNoise,
    GradientAttack,
    HostLoss,
    LargerDivergence,
    TrueLabels,
)
from lit_intriguing.callbacks import AdversarialTraining, ExactResume, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.splice import SpliceError, UnknownLayerError
from lit_intriguing.types import Bounds

N, FEATURES, CLASSES = 12, 6, 3


class Host(LightningModule):
    """A project's module that knows nothing of us."""

    def __init__(self, reduction: str = "mean", net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net or nn.Sequential(
            nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, CLASSES)
        )
        self.reduction = reduction
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch[0], batch[1]
        self.rows.append(len(y))
        return F.cross_entropy(self(x), y, reduction=self.reduction)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data(seed: int = 0, rows: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, FEATURES, generator=generator)
    return x, torch.randint(CLASSES, (rows,), generator=generator)


def plan(eps: float = 0.1, **options: Any) -> PerturbedLayer:
    sizes = {"pool": N, "mix": N, "refresh": N}
    return PerturbedLayer(GradientAttack(eps), **{**sizes, **options})


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "max_steps": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(callbacks=list(callbacks), **{**settings, **options})


def fit(host: LightningModule, *callbacks: Callback, **options: Any) -> None:
    trainer(*callbacks, **options).fit(host, TensorLoader(*data(), N))


class Gradients(Callback):
    """Keeps the gradients of the first step."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.found = [p.grad.clone() for p in pl_module.parameters()]


def top(host: Host, layer: str, hidden: Tensor) -> Tensor:
    first = 0 if layer == "" else int(layer.removeprefix("net.")) + 1
    return host.net[first:](hidden)


def layer_output(host: Host, layer: str, x: Tensor) -> Tensor:
    last = 0 if layer == "" else int(layer.removeprefix("net.")) + 1
    return host.net[:last](x)


def expected_gradients(
    host: Host, callback: AdversarialTraining, shield: bool, reduction: str = "mean"
) -> list[Tensor]:
    """The step's gradient from the explicit formula, examples taken from the callback's pools."""
    x, y = data()
    losses, weights, rows = [F.cross_entropy(host(x), y)], [1.0], N
    for layer, layer_plan in callback.pools.layers.items():
        kept = callback.pools.by_layer[layer]
        labels = kept.filled("labels")
        if "activation" in kept.tensors:
            hidden = kept.filled("activation")
        elif layer == "":
            hidden = kept.filled("inputs")
        else:
            below = layer_output(host, layer, kept.filled("inputs"))
            hidden = (below.detach() if shield else below) + kept.filled("perturbation")
        losses.append(F.cross_entropy(top(host, layer, hidden), labels))
        weights.append(layer_plan.weight)
        rows += len(labels)
    loss = sum(w * one for w, one in zip(weights, losses, strict=True)) / sum(weights)
    scale = rows if reduction == "sum" else 1
    gradients = torch.autograd.grad(loss * scale, list(host.parameters()), allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(host.parameters(), gradients, strict=True)
    ]


LAYER_CHOICES = {
    "input": {"": plan(weight=2.0)},
    "stale": {"net.1": plan(weight=0.5)},
    "re-forwarded, shielded": {"net.1": plan(weight=0.5, stale=False)},
    "re-forwarded, unshielded": {"net.1": plan(weight=0.5, stale=False, shield=False)},
    "at the layer": {"net.1": plan(weight=0.5, at_layer=True, mix=5)},
    "three layers": {
        "": plan(weight=2.0, mix=7),
        "net.1": plan(weight=0.7, at_layer=True),
        "net.3": plan(weight=0.3, at_layer=True, mix=3),
    },
    "mixed ways": {
        "net.3": plan(weight=0.3, at_layer=True),
        "": plan(weight=2.0),
        "net.1": plan(weight=0.7, stale=False, shield=False),
    },
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layers", LAYER_CHOICES.values(), ids=LAYER_CHOICES)
def test_step_follows_the_weighted_sum_of_mean_losses(
    layers: dict[str, PerturbedLayer], reduction: str
) -> None:
    torch.manual_seed(0)
    host = Host(reduction)
    before = copy.deepcopy(host)
    gradients = Gradients()
    callback = AdversarialTraining({k: full_mix(v) for k, v in layers.items()})
    fit(host, callback, gradients)
    shield = all(one.shield for one in layers.values())
    expected = expected_gradients(before, callback, shield, reduction)
    for found, wanted in zip(gradients.found, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def full_mix(one: PerturbedLayer) -> PerturbedLayer:
    """Keep exactly what is mixed, so that the formula knows the examples."""
    return dataclasses.replace(one, pool=one.mix, refresh=one.mix)


def test_keeping_out_gives_the_same_gradients_as_joining_the_hosts_batch() -> None:
    layers = {"": plan(weight=2.0), "net.1": plan(weight=0.5, stale=False)}
    found, rows = [], []
    for keep_out in (False, True):
        torch.manual_seed(0)
        host, gradients = Host(), Gradients()
        fit(host, AdversarialTraining(layers, keep_out=keep_out), gradients)
        found.append(gradients.found)
        rows.append(host.rows)
    assert rows == [[3 * N], [N]]
    for joined, kept_out in zip(*found, strict=True):
        torch.testing.assert_close(joined, kept_out, rtol=1e-4, atol=1e-6)


def test_equal_weights_for_equal_examples_leave_the_gradient_to_the_hosts_mean() -> None:
    torch.manual_seed(0)
    host = Host()
    before = copy.deepcopy(host)
    gradients, callback = Gradients(), AdversarialTraining({"": plan(weight=1.0)})
    fit(host, callback, gradients)
    x, y = data()
    pool = callback.pools.by_layer[""]
    both = torch.cat([x, pool.filled("inputs")]), torch.cat([y, pool.filled("labels")])
    loss = F.cross_entropy(before(both[0]), both[1])
    for found, wanted in zip(
        gradients.found, torch.autograd.grad(loss, list(before.parameters())), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_examples_are_one_step_along_the_gradient_toward_the_target() -> None:
    torch.manual_seed(0)
    host = Host()
    before = copy.deepcopy(host)
    callback = AdversarialTraining({"net.1": plan(0.3, goal=TrueLabels())})
    fit(host, callback)
    x, y = data()
    hidden = before.net[:2](x).detach().requires_grad_()
    loss = F.cross_entropy(before.net[2:](hidden), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, hidden)
    wanted = hidden + 0.3 * F.normalize(gradient, dim=1)
    torch.testing.assert_close(
        callback.pools.by_layer["net.1"].filled("activation"), wanted.detach()
    )


def test_relative_lengths_are_in_units_of_the_activations_spread() -> None:
    torch.manual_seed(0)
    host = Host()
    before = copy.deepcopy(host)
    callback = AdversarialTraining({"net.1": plan(0.3, relative=True)})
    fit(host, callback)
    clean = before.net[:2](data()[0]).detach()
    moved = callback.pools.by_layer["net.1"].filled("activation") - clean
    wanted = 0.3 * clean.var(0).sum().sqrt()
    torch.testing.assert_close(moved.norm(dim=1), wanted.expand(N))


def test_separate_attack_gives_the_same_examples_as_the_shared_gradient() -> None:
    pools = []
    for attack in (GradientAttack(0.2), GradientAttack(0.2, steps=2, step_size=0.1)):
        torch.manual_seed(0)
        linear = Host(net=nn.Sequential(nn.Linear(FEATURES, 4), nn.Linear(4, CLASSES)))
        layer = PerturbedLayer(attack, pool=N, mix=N, refresh=N, relative=True, goal=TrueLabels())
        callback = AdversarialTraining({"net.0": layer})
        fit(linear, callback)
        pools.append(callback.pools.by_layer["net.0"].filled("activation"))
    torch.testing.assert_close(*pools, rtol=0.05, atol=0.02)


def test_bounds_clip_the_examples() -> None:
    callback = AdversarialTraining({"": plan(5.0, bounds=Bounds())})
    fit(Host(), callback)
    inputs = callback.pools.by_layer[""].filled("inputs")
    assert inputs.min() >= 0
    assert inputs.max() <= 1


class Modes(LightningModule):
    """Dropout and BatchNorm, which notice what mode they run in."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(8, CLASSES)
        self.seen: list[tuple[bool, bool, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.norm.training, self.frozen.training, len(x)))
        return self.last(self.drop(self.frozen(self.norm(self.first(x)).relu())))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.frozen.eval()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_examples_are_made_in_evaluation_mode_and_trained_on_in_training_mode() -> None:
    host = Modes()
    fit(host, AdversarialTraining({"": plan(), "norm": plan(stale=False)}), max_steps=2)
    making = [(norm, frozen) for norm, frozen, rows in host.seen if rows == N]
    training = [(norm, frozen) for norm, frozen, rows in host.seen if rows == 3 * N]
    assert set(making) == {(False, False)}
    assert training == [(True, False)] * 2
    assert host.norm.num_batches_tracked == 2
    assert host.frozen.num_batches_tracked == 0


def test_callback_that_never_starts_leaves_the_training_bit_identical() -> None:
    weights = []
    for callbacks in ([], [AdversarialTraining({"": plan()}, start_step=10**6)]):
        torch.manual_seed(0)
        host = Modes()
        fit(host, *callbacks, max_steps=5)
        weights.append(torch.cat([p.detach().flatten() for p in host.parameters()]))
    assert torch.equal(*weights)


def test_idle_callback_has_no_hooks_until_its_start() -> None:
    class Counting(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.hooks = getattr(self, "hooks", [])
            self.hooks.append(any(module._forward_hooks for module in self.modules()))
            return super().training_step(batch, batch_idx)

    host = Counting()
    fit(host, AdversarialTraining({"net.1": plan()}, start_step=2), max_steps=4)
    assert host.hooks == [False, False, True, True]
    assert host.rows == [N, N, 2 * N, 2 * N]


def test_layers_take_turns_when_alternating() -> None:
    host = Host()
    layers = {"": plan(mix=2), "net.1": plan(mix=4, at_layer=True)}
    fit(host, AdversarialTraining(layers, alternate=True), max_steps=4)
    assert host.rows == [N + 2, N + 4, N + 2, N + 4]


def test_pool_is_refreshed_only_every_n_steps() -> None:
    callback = AdversarialTraining({"": plan(pool=40, refresh=5, mix=6, every_n_steps=3)})
    host = Host()
    fit(host, callback, max_steps=7)
    assert len(callback.pools.by_layer[""]) == 15
    assert host.rows == [N + 5, N + 5, N + 5, N + 6, N + 6, N + 6, N + 6]


def test_accumulated_batches_each_get_examples() -> None:
    host = Host()
    fit(
        host,
        AdversarialTraining({"": plan()}),
        max_steps=1,
        accumulate_grad_batches=2,
        max_epochs=4,
    )
    assert host.rows == [2 * N]


class Manual(Host):
    """Optimises by hand, twice in a step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        x, y = batch
        self.rows.append(len(y))
        for _ in range(2):
            loss = F.cross_entropy(self(x), y)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()


def test_manual_optimisation_works() -> None:
    host = Manual()
    fit(host, AdversarialTraining({"": plan(weight=3.0), "net.1": plan(at_layer=True)}))
    assert host.rows == [3 * N]


class Closures(Host):
    """L-BFGS asks for the same batch many times."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), max_iter=4, line_search_fn="strong_wolfe")


def test_closures_see_the_same_examples_at_every_evaluation() -> None:
    host, callback = Closures(), AdversarialTraining({"": plan()})
    fit(host, callback)
    assert len(host.rows) > 1
    assert set(host.rows) == {2 * N}
    assert callback.pools.step == 1


class Skipping(Host):
    """Skips every other batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss if len(self.rows) % 2 else None


@pytest.mark.filterwarnings("ignore:.*training_step.* returned .None.")
def test_skipped_batches_are_no_error() -> None:
    host = Skipping()
    fit(host, AdversarialTraining({"": plan()}), max_steps=-1, max_epochs=4)
    assert host.rows == [2 * N] * 4


Pair = namedtuple("Pair", ["image", "digit"])


@dataclasses.dataclass
class Record:
    digit: Tensor
    image: Tensor


class DictHost(Host):
    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        self.rows.append(len(batch["y"]))
        loss = F.cross_entropy(self.net(batch["image"]), batch["y"])
        return {"loss": loss}


class AttributeHost(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.rows.append(len(batch.digit))
        return F.cross_entropy(self.forward(batch.image), batch.digit)


@pytest.mark.parametrize("keep_out", [False, True])
@pytest.mark.parametrize(
    ("host", "wrap"),
    [
        (Host, lambda x, y: [x, y]),
        (Host, lambda x, y: (x, y)),
        (AttributeHost, Pair),
        (AttributeHost, lambda x, y: Record(y, x)),
        (DictHost, lambda x, y: {"y": y, "image": x}),
    ],
    ids=["list", "tuple", "namedtuple", "dataclass", "dict"],
)
def test_batches_of_every_kind_are_extended_and_never_changed_in_place(
    host: type[Host], wrap: Any, keep_out: bool
) -> None:
    x, y = data()
    batch, module = wrap(x, y), host()
    loop = trainer(AdversarialTraining({"": plan()}, keep_out=keep_out))
    loop.fit(module, DataLoader([0], batch_size=None, collate_fn=lambda _: batch))
    assert module.rows == [N if keep_out else 2 * N]
    assert torch.equal(x, data()[0])
    assert len(y) == N


def test_plain_dataset_and_fit_called_twice_work() -> None:
    host, callback = Host(), AdversarialTraining({"": plan()})
    loader = DataLoader(TensorDataset(*data()), batch_size=N)
    for _ in range(2):
        trainer(callback).fit(host, loader)
    assert host.rows == [2 * N] * 2


def test_activation_checkpointing_recomputes_the_same_forward() -> None:
    class Checkpointed(Host):
        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.utils.checkpoint.checkpoint(self.net[:2], x, use_reentrant=False)
            return self.net[2:](hidden)

    found = []
    for kind in (Host, Checkpointed):
        torch.manual_seed(0)
        gradients = Gradients()
        fit(kind(), AdversarialTraining({"net.1": plan(weight=0.5, stale=False)}), gradients)
        found.append(gradients.found)
    for plain, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("start", [0, 1])
def test_compiled_network_trains_as_the_plain_one(start: int) -> None:
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        host, gradients = Host(), Gradients()
        if compiled:
            host.net = torch.compile(host.net, backend="eager")
        layer = "net._orig_mod.1" if compiled else "net.1"
        callback = AdversarialTraining({layer: plan(weight=0.5)}, start_step=start)
        fit(host, callback, gradients, max_steps=2)
        found.append(gradients.found)
    for plain, traced in zip(*found, strict=True):
        torch.testing.assert_close(plain, traced)


def test_no_hook_and_no_wrapped_step_is_left_behind() -> None:
    host = Host()
    loop = trainer(AdversarialTraining({"": plan(), "net.1": plan(at_layer=True)}))
    loop.fit(host, TensorLoader(*data(), N))
    assert not any(module._forward_hooks for module in host.modules())
    assert "training_step" not in vars(loop.strategy)


def test_no_hook_is_left_behind_when_training_fails() -> None:
    class Failing(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self(batch[0])
            raise RuntimeError("no more")

    host = Failing()
    loop = trainer(AdversarialTraining({"net.1": plan(at_layer=True)}))
    with pytest.raises(RuntimeError, match="no more"):
        loop.fit(host, TensorLoader(*data(), N))
    assert not any(module._forward_hooks for module in host.modules())
    assert "training_step" not in vars(loop.strategy)


def test_metrics_of_every_layer_are_logged(tmp_path: Any) -> None:
    logger = CSVLogger(tmp_path)
    layers = {"": plan(), "net.1": plan(at_layer=True)}
    callback = AdversarialTraining(layers, alternate=True)
    loop = trainer(callback, logger=logger, max_steps=6, log_every_n_steps=2)
    loop.fit(Host(), TensorLoader(*data(rows=3 * N), N))
    header = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()[0]
    for layer in ("input", "net.1"):
        for what in ("success", "distortion", "loss", "error", "age"):
            assert f"adversarial/{layer}/{what}" in header
    assert "adversarial/generating" in header


class Logged(Callback):
    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.values = {k: float(v.detach()) for k, v in trainer.callback_metrics.items()}


def test_logged_values_are_those_of_the_step_and_the_pool() -> None:
    torch.manual_seed(0)
    host = Host()
    before = copy.deepcopy(host)
    callback = AdversarialTraining({"": plan(0.3, goal=TrueLabels(), weight=2.0)})
    logged = Logged()
    fit(host, callback, logged, log_every_n_steps=1)
    pool = callback.pools.by_layer[""]
    logits, labels = before(pool.filled("inputs")), pool.filled("labels")
    wrong = float((logits.argmax(1) != labels).float().mean())
    values = logged.values
    assert values["adversarial/input/success"] == pytest.approx(wrong)
    assert values["adversarial/input/error"] == pytest.approx(wrong)
    assert values["adversarial/input/distortion"] == pytest.approx(0.3 / FEATURES**0.5, rel=1e-5)
    loss = F.cross_entropy(logits, labels).item()
    assert values["adversarial/input/loss"] == pytest.approx(loss, rel=1e-5)
    assert values["adversarial/input/age"] == 0
    assert 0 < values["adversarial/generating"] < 1


ONE_STEP = {
    "": plan(pool=30, mix=6, refresh=5, every_n_steps=2),
    "norm": plan(pool=20, mix=4, refresh=4, relative=True),
}
# Wide: an untrained network gives one label to all of [0, 1].
WIDE = Bounds(-50.0, 50.0)
MINIMAL = {
    "": PerturbedLayer(BoxLBFGS(), bounds=WIDE, pool=30, mix=6, refresh=5, every_n_steps=2),
    "norm": PerturbedLayer(BoxLBFGS("paper"), at_layer=True, pool=20, mix=4, refresh=4),
}


def run(
    folder: Any, stop: int | None, resume: str | None = None, layers: Any = None, start: int = 0
) -> Tensor:
    """Train 12 steps with dropout and pools, stopping early or resuming if asked."""
    torch.manual_seed(3)
    host = Modes()
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    loop = trainer(
        AdversarialTraining(layers or ONE_STEP, alternate=True, start_step=start),
        ExactResume(),
        keep,
        max_steps=stop or 12,
        enable_checkpointing=True,
    )
    loader = TensorLoader(*data(rows=50), N, shuffle=True, seed=5)
    loop.fit(host, loader, ckpt_path=resume)
    return torch.cat([value.double().flatten() for value in host.state_dict().values()])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [1, 5, 7, 10])
def test_resumed_run_ends_with_bit_identical_weights(tmp_path: Any, stop: int) -> None:
    whole = run(tmp_path / "whole", None)
    run(tmp_path / "part", stop)
    resumed = run(tmp_path / "part", None, str(tmp_path / f"part/step={stop}.ckpt"))
    assert torch.equal(whole, resumed)


@pytest.mark.integration
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [1, 4, 9])
def test_run_with_minimal_examples_is_resumed_bit_by_bit(tmp_path: Any, stop: int) -> None:
    options = {"layers": MINIMAL, "start": 2}
    whole = run(tmp_path / "whole", None, **options)
    run(tmp_path / "part", stop, **options)
    checkpoint = str(tmp_path / f"part/step={stop}.ckpt")
    assert torch.equal(whole, run(tmp_path / "part", None, checkpoint, **options))
    assert not torch.equal(whole, run(tmp_path / "none", None, start=10**6))


@pytest.mark.filterwarnings("ignore:.*examples have a zero or non-finite gradient")
@pytest.mark.parametrize(("layer", "key"), [("", "input"), ("net.1", "net.1")])
def test_minimal_examples_are_logged_as_what_they_are(layer: str, key: str) -> None:
    torch.manual_seed(0)
    host, logged = Host(), Logged()
    before, x = copy.deepcopy(host), data()[0]
    minimal = PerturbedLayer(
        BoxLBFGS(), bounds=WIDE, at_layer=layer != "", pool=N, mix=N, refresh=N
    )
    callback = AdversarialTraining({layer: minimal})
    fit(host, callback, logged, log_every_n_steps=1)
    pool, values = callback.pools.by_layer[layer], logged.values
    examples, labels = pool.filled("activation" if layer else "inputs"), pool.filled("labels")
    wrong = top(before, layer, examples).argmax(1) != labels
    clean = layer_output(before, layer, x)
    moved = (examples != clean).any(1)
    assert moved.sum() > N / 3
    assert wrong[moved].all()
    lengths = (examples - clean)[moved].square().mean(1).sqrt()
    assert values[f"adversarial/{key}/distortion"] == pytest.approx(lengths.mean().item(), rel=1e-4)
    assert values[f"adversarial/{key}/error"] == pytest.approx(wrong.float().mean().item())
    assert values[f"adversarial/{key}/success"] >= moved.float().mean().item()


def test_search_that_finds_nothing_before_the_network_has_learnt_advises_a_later_start() -> None:
    torch.manual_seed(0)
    minimal = PerturbedLayer(BoxLBFGS(), bounds=Bounds(), pool=N, mix=N, refresh=N)
    with pytest.raises(UserError, match=r"no point lies within the bounds.* later start_step"):
        fit(Host(), AdversarialTraining({"": minimal}))


@pytest.fixture
def checkpoint(tmp_path: Any) -> str:
    loop = trainer(AdversarialTraining({"": plan()}))
    loop.fit(Host(), TensorLoader(*data(), N))
    loop.save_checkpoint(tmp_path / "a.ckpt")
    return str(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"": plan(pool=20)}, "a pool of 12 examples, this run one of 20"),
        ({"net.1": plan()}, r"pools for the layers \[''\], this run attacks \['net.1'\]"),
    ],
)
def test_checkpoint_of_other_pools_is_refused(
    checkpoint: str, layers: dict[str, PerturbedLayer], message: str
) -> None:
    other = trainer(AdversarialTraining(layers), max_steps=2)
    with pytest.raises(UserError, match=message):
        other.fit(Host(), TensorLoader(*data(), N), ckpt_path=checkpoint)


class WithTest(Host):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])


def test_evaluating_a_checkpoint_brings_no_pools_to_the_next_run(checkpoint: str) -> None:
    callback = AdversarialTraining({"": plan()})
    trainer(callback).test(
        WithTest(), TensorLoader(*data(), N), ckpt_path=checkpoint, verbose=False
    )
    fit(Host(), callback, max_steps=3)
    assert callback.pools.step == 3


def test_new_run_begins_with_empty_pools_and_finds_its_batches_anew() -> None:
    callback = AdversarialTraining({"": plan()})
    fit(Host(), callback, max_steps=5)
    x, y = data(seed=1)
    host = DictHost()
    batch = {"y": y, "image": x}
    trainer(callback).fit(host, DataLoader([0], batch_size=None, collate_fn=lambda _: batch))
    assert callback.pools.step == 1
    assert len(callback.pools.by_layer[""]) == N
    assert (callback.pools.by_layer[""].filled("inputs") - x).abs().max() <= 0.1


def test_run_that_goes_on_keeps_its_pools() -> None:
    callback = AdversarialTraining({"": plan(pool=3 * N)})
    host, loop = Host(), trainer(callback, max_steps=1)
    loop.fit(host, TensorLoader(*data(), N))
    loop.fit_loop.epoch_loop.max_steps = 2
    loop.fit(host, TensorLoader(*data(), N))
    assert callback.pools.step == 2
    assert len(callback.pools.by_layer[""]) == 2 * N


class Teacher(Host):
    """Keeps a copy of its network, made while hooks are on it."""

    def on_train_start(self) -> None:
        self.copy = copy.deepcopy(self.net)
        self.pickled = pickle.loads(pickle.dumps(self.net))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        with torch.no_grad():
            self.copied = [net[:2](batch[0]) for net in (self.copy, self.pickled)]
            self.clean = torch.tanh(self.net[0](batch[0]))
        return F.cross_entropy(logits, batch[1])


def test_copies_of_the_network_are_not_perturbed() -> None:
    host = Teacher()
    fit(host, AdversarialTraining({"net.1": plan(5.0)}))
    for copied in host.copied:
        assert torch.equal(copied, host.clean)


class Heads(LightningModule):
    """Two heads beside each other, no forward of the whole in the training step."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, 5)
        self.main, self.side = nn.Linear(5, CLASSES), nn.Linear(5, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(self.body(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        hidden = self.body(batch[0])
        self.logits = self.main(hidden)
        self.logits.retain_grad()
        return F.cross_entropy(self.logits, batch[1]) + self.side(hidden).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_head_with_other_classes_is_not_taken_for_the_logits() -> None:
    torch.manual_seed(0)
    host = Heads(classes=2)
    fit(host, AdversarialTraining({"": plan(1e-6, weight=9.0)}))
    assert host.logits.grad is not None
    sizes = host.logits.grad.norm(dim=1)
    torch.testing.assert_close(sizes[N:], 9 * sizes[:N], rtol=1e-2, atol=1e-6)


@pytest.mark.filterwarnings("ignore:AdversarialTraining. examples join the host's batch")
def test_two_heads_that_could_both_be_the_logits_get_a_call_of_their_own() -> None:
    host = Heads(classes=CLASSES)
    fit(host, AdversarialTraining({"": plan()}))
    assert len(host.logits) == N
    with pytest.raises(UserError, match="'main' and, side by side, of 'side'"):
        fit(Heads(classes=CLASSES), AdversarialTraining({"": plan()}, keep_out=False))


def test_share_of_generating_is_measured_over_accumulated_batches() -> None:
    logged = Logged()
    callback = AdversarialTraining({"": plan(every_n_steps=2)})
    loop = trainer(
        callback, logged, max_steps=4, max_epochs=8, log_every_n_steps=1, accumulate_grad_batches=2
    )
    loop.fit(Host(), TensorLoader(*data(rows=2 * N), N))
    assert 0 < logged.values["adversarial/generating"] < 1


def test_inputs_that_leave_the_bounds_later_are_warned_about() -> None:
    class Growing(Host):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [batch[0] + len(self.rows), batch[1]]

    callback = AdversarialTraining({"": plan(bounds=Bounds())})
    with pytest.warns(UserWarning, match="leave the bounds"):
        fit(Growing(), callback, max_steps=3, max_epochs=3, log_every_n_steps=1)


def test_checkpoint_of_another_architecture_is_refused(tmp_path: Any) -> None:
    callback = AdversarialTraining({"net.1": plan()})
    loop = trainer(callback)
    loop.fit(Host(), TensorLoader(*data(), N))
    state = callback.state_dict()
    wider = nn.Sequential(nn.Linear(FEATURES, 9), nn.Tanh(), nn.Linear(9, CLASSES))
    fresh = AdversarialTraining({"net.1": plan()})
    fresh.load_state_dict(copy.deepcopy(state))
    with pytest.raises(UserError, match=r"stores 'activation' of shape \(5,\).*have \(9,\)"):
        fit(Host(net=wider), fresh)


def test_checkpoint_of_another_number_of_processes_is_taken_with_a_warning() -> None:
    callback = AdversarialTraining({"": plan()})
    fit(Host(), callback)
    state = callback.state_dict()["0"]
    fresh = AdversarialTraining({"": plan()})
    fresh.load_state_dict({"0": copy.deepcopy(state), "1": copy.deepcopy(state)})
    with pytest.warns(UserWarning, match="pools of 2 processes and this run has 1"):
        fit(Host(), fresh, max_steps=2)
    assert fresh.pools.step > callback.pools.step


class Twice(Host):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + self.net(x.flip(1))


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.linear(x)
        return z, z


class TupleHost(Host):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


class Argmax(Host):
    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(self.net(x).argmax(1), CLASSES).float()


class Flat(Host):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * 0


class NoForward(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net: nn.Module = nn.Linear(FEATURES, CLASSES)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Unused(Host):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("host", "layers", "error", "message"),
    [
        (Host, {"nett.1": plan()}, UnknownLayerError, r"no layer 'nett.1'. Nearest names: net"),
        (Unused, {"spare": plan()}, SpliceError, "'spare' was not called in the forward"),
        (Twice, {"net.1": plan()}, SpliceError, "called twice in one forward"),
        (lambda: TupleHost(net=Pairs()), {"net": plan()}, SpliceError, "returns a tuple"),
        (Argmax, {"": plan()}, UserError, "no gradient by .*no argmax"),
        (Flat, {"": plan()}, UserError, "gradient by the input is zero"),
        (
            NoForward,
            {"": plan(goal=TrueLabels())},
            UserError,
            "has no forward.*model=<name>, one of 'net'",
        ),
        (Host, {"": plan(bounds=Bounds(0.4, 0.6))}, UserError, "range from .* per channel"),
        (
            Host,
            {"net.3": plan(at_layer=True), "net.1": plan(at_layer=True)},
            SpliceError,
            "in the order in which the forward pass meets them",
        ),
        (Host, {"": plan(pool=10**13)}, UserError, "needs .* GiB, and cpu has .* free"),
    ],
)
def test_mistakes_get_a_clear_error_at_the_start(
    host: Any, layers: dict[str, PerturbedLayer], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(host(), AdversarialTraining(layers))


def test_layer_whose_plan_is_none_is_left_out() -> None:
    callback = AdversarialTraining({"": plan(), "net.1": None})
    fit(Host(), callback)
    assert set(callback.pools.by_layer) == {""}
    with pytest.raises(ValueError, match="needs at least one layer"):
        AdversarialTraining({"": None})
    with pytest.warns(UserWarning, match="leaves out 'nett.1', which the model does not have"):
        fit(Host(), AdversarialTraining({"": plan(), "nett.1": None}))


def test_module_without_forward_is_trained_once_its_network_is_named() -> None:
    callback = AdversarialTraining({"": plan()}, model="net")
    fit(NoForward(), callback)
    assert len(callback.pools.by_layer[""]) == N


@pytest.mark.parametrize("steps", [1, 2])
def test_hidden_layer_of_a_named_network_goes_by_its_full_name(steps: int) -> None:
    layers = {"net.1": PerturbedLayer(GradientAttack(0.1, steps=steps), pool=N, mix=N, refresh=N)}
    callback = AdversarialTraining(layers, model="net")
    host = NoForward()
    host.net = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    fit(host, callback)
    assert len(callback.pools.by_layer["net.1"]) == N


class Reconstructing(Host):
    """Takes inputs alone, in a tensor or a tuple of one."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch if isinstance(batch, Tensor) else batch[0]
        return (self(x) - x[:, :CLASSES]).square().mean()


def test_batch_without_labels_raises_the_hosts_loss_and_a_goal_of_classes_is_refused() -> None:
    batches = DataLoader(TensorDataset(data()[0]), batch_size=N)
    callback = AdversarialTraining({"": plan()})
    trainer(callback, max_steps=2).fit(Reconstructing(), batches)
    assert callback.pools.layers[""].goal == HostLoss()
    assert len(callback.pools.by_layer[""]) == N
    loop = trainer(AdversarialTraining({"": plan(goal=TrueLabels())}))
    with pytest.raises(UserError, match="needs class labels and logits"):
        loop.fit(Reconstructing(), batches)


def test_other_entries_of_a_row_join_with_it() -> None:
    class Seeing(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.seen = batch[2]
            return super().training_step(batch, batch_idx)

    x, y = data()
    host = Seeing()
    numbers = torch.arange(N) + 100
    trainer(AdversarialTraining({"": plan()})).fit(
        host, DataLoader(TensorDataset(x, y, numbers), batch_size=N)
    )
    assert sorted(host.seen.tolist()) == sorted([*numbers.tolist(), *numbers.tolist()])


def test_entries_that_examples_joining_at_a_layer_lack_are_warned_about() -> None:
    x, y = data()
    loop = trainer(AdversarialTraining({"net.1": plan(at_layer=True)}))
    with pytest.warns(UserWarning, match=r"entries \[2\] have a value for each example"):
        loop.fit(Host(), DataLoader(TensorDataset(x, y, torch.arange(N)), batch_size=N))


def test_loss_that_ignores_the_logits_is_refused() -> None:
    class Odd(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            with torch.enable_grad():
                self(batch[0])
            return self.net[0].weight.sum()

    with pytest.raises(UserError, match="no gradient by the input"):
        fit(Odd(), AdversarialTraining({"": plan()}))


def test_some_examples_without_gradient_are_warned_about() -> None:
    class Half(Host):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) * (torch.arange(len(x)) % 2).unsqueeze(1)

    with pytest.warns(UserWarning, match="6 of 12 examples have a zero.*unperturbed.$"):
        fit(Half(), AdversarialTraining({"": plan()}))


def test_two_callbacks_are_refused() -> None:
    with pytest.raises(RuntimeError, match="more than one stateful callback of type"):
        trainer(AdversarialTraining({"": plan()}), AdversarialTraining({"net.1": plan()}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": {}}, "at least one layer"),
        ({"layers": {"net.1": plan(at_layer=True)}, "keep_out": True}, "join at the input"),
        ({"layers": {"": plan()}, "loss": nn.CrossEntropyLoss()}, "loss is for keep_out"),
        ({"layers": {"": plan(at_layer=True)}}, "For the input"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdversarialTraining(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": 0}, "mix must be at least 1"),
        ({"weight": -1.0}, "weight must be positive"),
        ({"pool": 5}, "exceeds pool=5"),
        ({"stale": True, "shield": False}, "needs stale=False"),
        ({"stale": False, "at_layer": True}, "needs stale=True"),
        ({"goal": LargerDivergence()}, "no gradient at the clean example: give GradientAttack"),
    ],
)
def test_layer_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**options)


def test_noise_can_take_the_place_of_an_attack() -> None:
    callback = AdversarialTraining(
        {"": PerturbedLayer(GaussianNoise(0.5), pool=N, mix=N, refresh=N)}
    )
    fit(Host(), callback)
    moved = callback.pools.by_layer[""].filled("inputs") - data()[0]
    assert 0.3 < moved.std() < 0.7


def test_examples_are_made_under_the_trainers_precision() -> None:
    callback = AdversarialTraining({"net.0": plan(at_layer=True)})
    fit(Host(), callback, precision="bf16-mixed")
    assert callback.pools.by_layer["net.0"].filled("activation").dtype == torch.bfloat16


def test_checkpoints_without_pools_go_on(tmp_path: Any) -> None:
    callback = AdversarialTraining({"": plan()}, save_pools=False)
    loop = trainer(callback, max_steps=1)
    loop.fit(Host(), TensorLoader(*data(), N))
    loop.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]["AdversarialTraining"]
    assert state["0"]["pools"] is None
    again = trainer(callback, max_steps=3)
    again.fit(Host(), TensorLoader(*data(), N), ckpt_path=tmp_path / "a.ckpt")
    assert len(callback.pools.by_layer[""])


@pytest.mark.parametrize(
    "layers", [{"": GradientAttack(1.0)}, PerturbedLayer(GradientAttack(1.0))], ids=["attack", "no"]
)
def test_layers_of_another_kind_are_refused_with_an_example_that_works(layers: Any) -> None:
    with pytest.raises(ValueError, match="a mapping, each value of type PerturbedLayer") as caught:
        AdversarialTraining(layers)
    example = str(caught.value).partition("For example ")[2].partition(", where")[0]
    AdversarialTraining(eval(example))
