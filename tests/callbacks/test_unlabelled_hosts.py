"""AdversarialExamples and TransferEvaluation on hosts without class labels."""

import copy
import random
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset

from lit_intriguing.attacks import (
    BoxLBFGS,
    GaussianNoise,
    GradientAttack,
    HostLoss,
    TrueLabels,
)
from lit_intriguing.callbacks import AdversarialExamples, TransferEvaluation
from lit_intriguing.callbacks.measuring import Measuring
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.pixels import flipped
from lit_intriguing.types import UNBOUNDED, distortion
from tests.callbacks.test_adversarial_examples import lines_of, trainer
from tests.callbacks.unlabelled_hosts import (
    BATCH,
    KINDS,
    ROWS,
    Autoencoder,
    Kind,
    Pairs,
    Regression,
    Text,
    Unlabelled,
    numbers,
    x,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`IterableDataset` has `__len__` defined"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]

N = 6


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take most of the time."""
    monkeypatch.setattr(
        "lit_intriguing.callbacks.examples_of_losses.change_figure", lambda *a, **o: None
    )
    for name in ("examples_of_losses", "transfer_of_losses"):
        monkeypatch.setattr(f"lit_intriguing.callbacks.{name}.destinations", lambda *a: [])


def run(kind: Kind, folder: Path, *callbacks: Callback, **options: Any) -> tuple[Any, Any]:
    """Return the host after a run, and all that it left: weights, optimiser, random states."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    host = kind.host()
    ran = trainer(folder, *callbacks, **{"max_epochs": 2, **options})
    loaders = [kind.loader(shuffle=True), kind.loader()]
    ran.fit(host, *loaders)
    tensors = [*host.state_dict().values()]
    for state in ran.optimizers[0].state_dict()["state"].values():
        tensors += [torch.as_tensor(value) for value in state.values()]
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    gradients = [p.grad for p in host.parameters()]
    modes = [one.training for one in host.modules()]
    return (host, ran), [tensors, drawn, host.steps, host.losses, gradients, modes]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other


def examples(kind: Kind, **options: Any) -> AdversarialExamples:
    return AdversarialExamples(**{"examples": N, **dict(kind.options), **options})


def transfer(kind: Kind, **options: Any) -> TransferEvaluation:
    own = {key: value for key, value in kind.options if key != "layer"}
    return TransferEvaluation(**{"examples": N, **own, **options})


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", KINDS)
def test_a_run_is_bit_for_bit_the_same_with_and_without(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    _, without = run(kind, tmp_path / "without")
    callbacks: list[Any] = [examples(kind, every_n_steps=1)]
    if name != "text":
        callbacks.append(transfer(kind, references={"other": kind.host()}, every_n_steps=1))
    # Measured in validations as well, where the modules are in evaluation mode.
    watching = ModelCheckpoint(tmp_path, monitor=f"{callbacks[0].name}/loss", mode="max")
    (_, ran), with_it = run(
        kind, tmp_path / "with", *callbacks, watching, enable_checkpointing=True
    )
    assert same(without, with_it)
    assert all(callback.last_step == 6 for callback in callbacks)
    assert all(not callback._warned for callback in callbacks)
    at_validations = [m.loss for m in callbacks[0]._losses if m.step in (3, 6)]
    assert float(watching.best_model_score) == pytest.approx(max(at_validations))
    assert f"{callbacks[0].name}/loss_clean" in ran.callback_metrics


def steady_loss(host: Unlabelled, batch: Any) -> Tensor:
    """Return the host's loss without dropout and batch statistics."""
    with torch.no_grad():
        return copy.deepcopy(host).eval().loss(batch)


def saved(folder: Path) -> dict[str, Any]:
    (*_, file) = sorted(folder.rglob("step-*.pt"))
    return torch.load(file, weights_only=True)


ONE_BY_ONE = [name for name in KINDS if name not in ("pairs", "text", "lists")]


@pytest.mark.parametrize("name", ONE_BY_ONE)
@pytest.mark.usefixtures("undrawn")
def test_losses_are_those_of_each_row_alone_in_the_last_weights(name: str, tmp_path: Path) -> None:
    callback = examples(KINDS[name])
    (host, ran), _ = run(KINDS[name], tmp_path, callback)
    found, rows = saved(tmp_path), callback._chosen
    assert isinstance(rows, HostRows)
    for column, tensor in (("loss_clean", found["clean"]), ("loss", found["adversarial"])):
        alone = [
            steady_loss(host, row.with_tensor(tensor[number : number + 1]))
            for number in range(N)
            if (row := rows.part(slice(number, number + 1))) is not None
        ]
        # The step multiplies its loss by a random number just above 1.
        ratio = found[column] / torch.stack(alone)
        assert torch.allclose(ratio, ratio[:1].expand(N), rtol=1e-5)
        assert 1 <= float(ratio[0]) <= 1.001
    assert (found["loss"] > found["loss_clean"]).all()
    torch.testing.assert_close(
        found["distortion"], distortion(found["clean"], found["adversarial"])
    )
    logged = ran.callback_metrics
    for column in ("loss_clean", "loss", "distortion"):
        assert float(logged[f"examples/{column}"]) == pytest.approx(float(found[column].mean()))


@pytest.mark.usefixtures("undrawn")
def test_one_step_goes_along_the_gradient_of_the_hosts_loss(tmp_path: Path) -> None:
    kind = KINDS["regression"]
    callback = examples(kind, attack=GradientAttack(eps=0.3))
    (host, _), _ = run(kind, tmp_path, callback)
    found = saved(tmp_path)
    clean = found["clean"].requires_grad_()
    (gradient,) = torch.autograd.grad(
        host.eval().loss(callback._chosen.with_tensor(clean)),
        clean,  # type: ignore[union-attr]
    )
    unit = gradient / gradient.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found["adversarial"], clean.detach() + 0.3 * unit)


def test_contrasted_rows_have_one_loss_for_all(tmp_path: Path) -> None:
    callback = examples(KINDS["pairs"])
    (host, _), _ = run(KINDS["pairs"], tmp_path, callback)
    found = saved(tmp_path)
    rows = callback._chosen
    assert isinstance(rows, HostRows)
    assert rows.inputs == "0.0"
    wanted = steady_loss(host, rows.with_tensor(found["adversarial"]))
    assert found["loss"].shape == (1,)
    assert 1 <= float(found["loss"] / wanted) <= 1.001
    assert found["loss"] > found["loss_clean"]
    (*_, file) = sorted(tmp_path.rglob("*.csv"))
    lines = lines_of(file)
    assert len({line["loss"] for line in lines}) == 1 < len(lines)


@pytest.mark.parametrize("name", ["segmentation", "one map"])
def test_flipped_pixels_are_those_whose_prediction_changes(name: str, tmp_path: Path) -> None:
    attack = GradientAttack(eps=60.0, steps=5)
    callback = examples(KINDS[name], attack=attack, bounds=UNBOUNDED)
    (host, ran), _ = run(KINDS[name], tmp_path, callback)
    found = saved(tmp_path)
    with torch.no_grad():
        outputs = [host.eval()(found[one]) for one in ("clean", "adversarial")]
    if name == "segmentation":
        maps = [one.argmax(1) for one in outputs]
    else:
        maps = [(one["out"][:, 0] > 0).long() for one in outputs]
    assert torch.equal(found["predictions"], maps[0])
    assert torch.equal(found["adversarial_predictions"], maps[1])
    assert torch.equal(found["flipped"], flipped(*maps))
    assert found["labels"].shape == maps[0].shape
    share = float(ran.callback_metrics["examples/flipped"])
    assert share == pytest.approx(float((maps[0] != maps[1]).float().mean()))
    assert share > 0
    assert (tmp_path / "examples" / "step-00000006.png").exists()


def test_perturbed_embeddings_are_told_as_text(tmp_path: Path) -> None:
    class Named(Text):
        class tokenizer:  # noqa: N801
            @staticmethod
            def convert_ids_to_tokens(token: int) -> str:
                return f"w{token}"

    kind = Kind(Named, KINDS["text"].sample, KINDS["text"].options)
    callback = examples(kind, attack=GradientAttack(eps=8.0, steps=5))
    (host, _), _ = run(kind, tmp_path, callback)
    found = saved(tmp_path)
    lines = lines_of(tmp_path / "examples/embed/tokens/step-00000006.csv")
    weight = host.embed.weight.detach()
    assert sum(int(line["changed"]) for line in lines) > 0
    for line, before, after in zip(lines, found["clean"], found["adversarial"], strict=True):
        words = line["text"].split(" ")
        for word, old, new in zip(words, before, after, strict=True):
            a, b = (int((weight - one).norm(dim=1).argmin()) for one in (old, new))
            assert word == (f"w{a}" if a == b else f"w{a}→w{b}")
    # Padding has no part in the loss, so that it stays.
    padded = (found["clean"] == weight[0]).all(-1)
    assert padded.any()
    assert torch.equal(found["adversarial"][padded], found["clean"][padded])


@pytest.mark.usefixtures("undrawn")
def test_token_ids_themselves_are_refused_with_the_layer_to_attack(tmp_path: Path) -> None:
    kind = KINDS["text"]
    with pytest.raises(UserError, match=r"token ids have no gradient.*layer='embed'"):
        run(kind, tmp_path, AdversarialExamples())
    run(kind, tmp_path, AdversarialExamples(layer="embed"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("make", [examples, transfer])
def test_what_was_chosen_is_said_once(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        run(KINDS["autoencoder"], tmp_path, make(KINDS["autoencoder"]))
    (said,) = [text for text in caplog.messages if "own loss changes" in text]
    assert (
        "since the loss does not depend on the labels. Attacked: entry 0 of the batch, by Grad"
        in said
    )


class OfClasses(Unlabelled):
    """With logits that are all equal at first, so that no label changes the loss."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


CLASSES = Kind(OfClasses, lambda row: (x(row).abs(), row % 3))


@pytest.mark.usefixtures("undrawn")
def test_a_classifier_whose_logits_are_equal_keeps_its_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = examples(CLASSES)
    with caplog.at_level("INFO"):
        run(CLASSES, tmp_path, callback)
    assert len(callback._history) == 2
    assert any("uses class labels and logits, goal RandomTargets()" in t for t in caplog.messages)


@pytest.mark.usefixtures("undrawn")
def test_host_loss_can_be_asked_of_a_classifier(tmp_path: Path) -> None:
    callback = examples(CLASSES, goal=HostLoss())
    run(CLASSES, tmp_path, callback)
    assert len(callback._losses) == 2
    assert not callback._history


@pytest.mark.parametrize("make", [examples, transfer])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": BoxLBFGS()}, "BoxLBFGS searches for the border .* use GradientAttack"),
        ({"goal": TrueLabels()}, r"TrueLabels\(\) needs class labels .* or give HostLoss\(\)"),
        ({"inputs": "far"}, "no inputs at 'far'"),
        ({"labels": 7}, "no labels at 7"),
    ],
)
def test_what_cannot_work_is_named_before_the_first_step(
    make: Any, options: Any, message: str, tmp_path: Path
) -> None:
    kind = KINDS["regression"]
    host = kind.host()
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, make(kind, **options)).fit(host, kind.loader(), kind.loader())
    assert host.steps == 0
    way_out = {"attack": GradientAttack(0.1)} if "attack" in options else {}
    run(kind, tmp_path, make(kind, **way_out))


@pytest.mark.usefixtures("undrawn")
def test_noise_is_measured_too(tmp_path: Path) -> None:
    callback = examples(KINDS["regression"], attack=GaussianNoise(0.2))
    run(KINDS["regression"], tmp_path, callback)
    assert callback._losses[-1].distortion == pytest.approx(0.2, rel=0.2)


class Nameless(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch["signal"]), batch["answer"])


@pytest.mark.usefixtures("undrawn")
def test_inputs_in_doubt_are_refused_and_can_be_named(tmp_path: Path) -> None:
    kind = Kind(Nameless, lambda row: {"signal": x(row), "answer": numbers(3, seed=row)})
    with pytest.raises(UserError, match=r"could be the inputs, \['signal', 'answer'\]: say"):
        run(kind, tmp_path, examples(kind))
    callback = examples(kind, inputs="signal")
    run(kind, tmp_path, callback)
    assert callback._chosen.inputs == "signal"  # type: ignore[union-attr]


class Detached(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return self(batch[0].detach()).square().mean()


@pytest.mark.usefixtures("undrawn")
def test_a_loss_without_a_gradient_is_refused_and_a_layer_works(tmp_path: Path) -> None:
    kind = Kind(Detached, KINDS["regression"].sample)
    with pytest.raises(UserError, match=r"does not depend differentiably on 0: .*layer=<name>"):
        run(kind, tmp_path, examples(kind))
    run(kind, tmp_path, examples(kind, layer="net.0"))


class Bytes(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return self(batch[0].float().flatten(1) / 255).square().mean()


class Careful(Unlabelled):
    """Scales bytes alone, as torchvision's `ToDtype` does."""

    def loss(self, batch: Any) -> Tensor:
        images = batch[0] if batch[0].is_floating_point() else batch[0] / 255
        return self(images.flatten(1)).square().mean()


def pixels(row: int) -> tuple[Tensor, Tensor]:
    return (numbers(1, 3, 4, seed=row) * 255).to(torch.uint8), numbers(2, seed=row)


@pytest.mark.usefixtures("undrawn")
def test_bytes_are_perturbed_where_the_step_makes_floats_of_them(tmp_path: Path) -> None:
    callback = examples(Kind(Bytes, pixels))
    run(Kind(Bytes, pixels), tmp_path, callback)
    found = saved(tmp_path)
    assert found["adversarial"].max() <= 255
    assert found["adversarial"].min() >= 0
    assert 1 < callback._losses[-1].distortion < 20
    with pytest.raises(UserError, match=r"are bytes, .* convert them to floats"):
        run(Kind(Careful, pixels), tmp_path, examples(Kind(Careful, pixels)))


class Checkpointed(Unlabelled):
    """Computes its layers again in the backward pass."""

    def forward(self, x: Tensor) -> Any:
        return checkpoint(self.net, x, use_reentrant=False)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("layer", ["", "net.1"])
def test_layers_that_are_computed_again_in_the_backward_leave_no_trace(
    layer: str, tmp_path: Path
) -> None:
    kind = Kind(Checkpointed, KINDS["regression"].sample)
    _, without = run(kind, tmp_path)
    callback = examples(kind, layer=layer, every_n_steps=1)
    _, with_it = run(kind, tmp_path, callback)
    assert same(without, with_it)
    assert len(callback._losses) == 6
    assert all(moment.loss > moment.loss_clean for moment in callback._losses)


@pytest.mark.parametrize("name", ["regression", "pairs", "segmentation"])
@pytest.mark.usefixtures("undrawn")
def test_a_hidden_layer_is_attacked(name: str, tmp_path: Path) -> None:
    """The pair's first call of the network is meant."""
    callback = examples(KINDS[name], layer="net.0", every_n_steps=1)
    _, without = run(KINDS[name], tmp_path)
    _, with_it = run(KINDS[name], tmp_path, callback)
    assert same(without, with_it)
    assert all(moment.loss > moment.loss_clean for moment in callback._losses)
    assert not callback._warned


class Manual(Unlabelled):
    """Steps twice in each batch, and scales its first loss."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        for part in (2.0, 1.0):
            optimizer.zero_grad()
            self.manual_backward(part * self.loss(batch))
            optimizer.step()
            self.steps += 1


@pytest.mark.usefixtures("undrawn")
def test_manual_optimisation_is_asked_for_what_it_goes_backward_with(tmp_path: Path) -> None:
    kind = Kind(Manual, KINDS["regression"].sample)
    _, without = run(kind, tmp_path)
    callback = examples(kind, every_n_steps=1)
    (host, _), with_it = run(kind, tmp_path, callback, transfer(kind, every_n_steps=1))
    assert same(without, with_it)
    rows = callback._chosen
    assert isinstance(rows, HostRows)
    wanted = 3 * steady_loss(host, rows.batch)
    assert callback._losses[-1].loss_clean == pytest.approx(float(wanted), rel=1e-5)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([KINDS["regression"].sample(row) for row in range(ROWS)])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("validates", [True, False])
def test_a_stream_gives_its_first_batch(validates: bool, tmp_path: Path) -> None:
    callback = examples(KINDS["regression"])
    loaders = [DataLoader(Stream(), BATCH) for _ in range(1 + validates)]
    trainer(tmp_path, callback).fit(Regression(), *loaders)
    assert len(callback._losses) == 2
    assert torch.equal(saved(tmp_path)["clean"], torch.stack([x(row) for row in range(N)]))


class Validates(Pairs):
    """Its validation has no pairs."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("streams", [True, False])
def test_where_validation_has_other_batches_the_training_data_are_taken(
    streams: bool, tmp_path: Path
) -> None:
    callback = examples(KINDS["pairs"])
    other = Kind(Validates, lambda row: (x(row), row % 3))
    loader = other.loader()
    if streams:
        loader = DataLoader(list(loader), batch_size=None)  # not known one by one
    trainer(tmp_path, callback).fit(Validates(), KINDS["pairs"].loader(), loader)
    assert callback._chosen.inputs == "0.0"  # type: ignore[union-attr]
    assert len(callback._losses) == 2


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["regression", "lists", "text", "tensor"])
def test_a_resumed_run_measures_the_same_rows_as_an_uninterrupted_one(
    name: str, tmp_path: Path
) -> None:
    kind = KINDS[name]

    def callbacks() -> list[Measuring]:
        others = [] if name == "text" else [transfer(kind, every_n_steps=1)]
        return [examples(kind, every_n_steps=1), *others]

    torch.manual_seed(1)
    whole = callbacks()
    trainer(tmp_path / "whole", *whole, max_epochs=2).fit(kind.host(), kind.loader())
    torch.manual_seed(1)
    host = kind.host()
    first = trainer(tmp_path / "half", *callbacks(), max_epochs=1)
    first.fit(host, kind.loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed = callbacks()
    second = trainer(tmp_path / "rest", *resumed, max_epochs=2)
    second.fit(kind.host(), kind.loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert [m.step for m in resumed[0]._losses] == [1, 2, 3, 4, 5, 6]  # type: ignore[attr-defined]
    for one, other in zip(resumed[0]._losses[:3], whole[0]._losses[:3], strict=True):  # type: ignore[attr-defined]
        assert astuple(one)[:4] == astuple(other)[:4]
    for one, other in zip(resumed, whole, strict=True):
        assert same(list(one._chosen.stored().values()), list(other._chosen.stored().values()))  # type: ignore[attr-defined]


def test_examples_of_a_stream_come_from_the_checkpoint(tmp_path: Path) -> None:
    rows = HostRows.of((numbers(3, 4), ["a", "b", "c"]), None)
    other = HostRows.of((numbers(3, 4, seed=1), ["d", "e", "f"]), None)
    found = other.with_stored(rows.stored())
    assert torch.equal(found.batch[0], rows.batch[0])
    assert found.batch[1] == ["a", "b", "c"]


def test_transfer_is_the_increase_by_others_over_that_by_a_hosts_own_examples(
    tmp_path: Path,
) -> None:
    kind = KINDS["regression"]
    other = kind.host()
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    before = copy.deepcopy(other.state_dict())
    callback = transfer(kind, references={"other": other}, attack=GradientAttack(0.3))
    (host, ran), _ = run(kind, tmp_path, callback)
    rows = callback._chosen
    assert isinstance(rows, HostRows)
    own, theirs = callback._past[-1].images, callback._theirs["other"].images

    def increase(one: Any, images: Tensor) -> float:
        return float(steady_loss(one, rows.with_tensor(images)) - steady_loss(one, rows.batch))

    logged = ran.callback_metrics
    wanted = {
        "to/other": increase(other, own) / increase(other, theirs),
        "from/other": increase(host, theirs) / increase(host, own),
    }
    for name, ratio in wanted.items():
        assert float(logged[f"transfer/{name}"]) == pytest.approx(ratio, rel=1e-3)
        assert abs(ratio) < 1
    lines = lines_of(tmp_path / "transfer/step-00000006.csv")
    assert [line["examples of"] for line in lines][1:3] == ["for current", "for other"]
    assert float(lines[1]["current"]) == pytest.approx(100)
    assert all(
        torch.equal(a, b) for a, b in zip(before.values(), other.state_dict().values(), strict=True)
    )
    assert other.training
    assert other.steps == 0
    assert all(weight.grad is None for weight in other.parameters())


def test_references_without_a_training_step_are_refused(tmp_path: Path) -> None:
    kind = KINDS["regression"]
    callback = transfer(kind, references={"net": nn.Linear(12, 3)})
    with pytest.raises(UserError, match="reference 'net' must be a LightningModule"):
        run(kind, tmp_path, callback)
    takes_other = transfer(kind, references={"pairs": Pairs()})
    with pytest.raises(UserError, match="training_step of the reference 'pairs' does not take"):
        run(kind, tmp_path, takes_other)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.usefixtures("undrawn")
def test_other_precisions_work_and_leave_no_trace(precision: Any, tmp_path: Path) -> None:
    kind = KINDS["regression"]
    _, without = run(kind, tmp_path, precision=precision)
    callbacks = [
        examples(kind, every_n_steps=1),
        transfer(kind, references={"other": kind.host()}, every_n_steps=1),
    ]
    _, with_it = run(kind, tmp_path, *callbacks, precision=precision)
    assert same(without, with_it)
    assert all(not callback._warned for callback in callbacks)
    assert callbacks[0]._losses[-1].loss > callbacks[0]._losses[-1].loss_clean  # type: ignore[attr-defined]


def test_an_autoencoder_with_labels_is_no_classifier() -> None:
    """Its output has a column for each pixel, more than there are labels."""
    assert Autoencoder()(torch.rand(2, 12)).shape == (2, 12)
