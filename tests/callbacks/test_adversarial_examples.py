"""AdversarialExamples: no trace on the run, right files and numbers, mistakes told at the start."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

from lit_intriguing import cli
from lit_intriguing.attacks import Attack, Found, GradientAttack, TargetClass, TrueLabels
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    ExactResume,
    PerturbedLayer,
)
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.types import Bounds, distortion

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`IterableDataset` has `__len__` defined"),
]

ROWS, CLASSES = 48, 4
SHAPE = (1, 8, 8)


class Host(LightningModule):
    """A project's module that knows nothing of us, with all that a measurement could disturb."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(108, 10), nn.Dropout(0.3), nn.Tanh(), nn.Linear(10, CLASSES)
        )
        self.seen: list[Tensor] = []

    def on_train_start(self) -> None:
        self.conv[1].eval()

    def on_train_epoch_start(self) -> None:
        self.conv[1].eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        assert self.head[2].training
        assert not self.conv[1].training
        self.seen.append(batch[1].clone())
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        return F.cross_entropy(self(batch[0] + 0.01 * noise), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Validating(Host):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", F.cross_entropy(self(batch[0]), batch[1]))


def data(seed: int = 0, rows: int = ROWS) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *SHAPE, generator=generator)
    return TensorDataset(x, torch.arange(rows) % CLASSES)


def shuffled(seed: int = 0) -> DataLoader[Any]:
    return DataLoader(data(seed), batch_size=12, shuffle=True)


def plain(seed: int = 1) -> DataLoader[Any]:
    return DataLoader(data(seed), batch_size=12)


def examples(**options: Any) -> AdversarialExamples:
    attack = options.pop("attack", GradientAttack(eps=2.0, steps=5))
    return AdversarialExamples(attack, **{"examples": 6, "draw_every": 1, **options})


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "log_every_n_steps": 1,
    }
    return Trainer(callbacks=list(callbacks), **{**settings, **options})


def state_of(host: LightningModule, ran: Trainer) -> list[Tensor]:
    """Weights, buffers, optimiser, what the host saw, and what each generator gives next."""
    tensors = [*host.state_dict().values(), *host.seen]
    for state in ran.optimizers[0].state_dict()["state"].values():
        tensors += [torch.as_tensor(value) for value in state.values()]
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    return [*tensors, torch.tensor(drawn, dtype=torch.float64)]


def run(folder: Path, *callbacks: Callback, host: Host, loaders: Any, **options: Any) -> Any:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    ran = trainer(folder, *callbacks, **options)
    ran.fit(host, *loaders())
    return state_of(host, ran)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(ROWS)
        return iter([data()[row] for row in order])


SITUATIONS: dict[str, dict[str, Any]] = {
    "validation": {"host": Validating, "loaders": lambda: (shuffled(), plain())},
    "no validation": {"host": Host, "loaders": lambda: (shuffled(),)},
    "limit_val_batches=0": {
        "host": Validating, "loaders": lambda: (shuffled(), plain()), "limit_val_batches": 0,
    },
    "no sanity check": {
        "host": Validating, "loaders": lambda: (shuffled(), plain()), "num_sanity_val_steps": 0,
    },
    "tensor loader": {
        "host": Host, "loaders": lambda: (TensorLoader(*data().tensors, 12, shuffle=True),),
    },
    "stream": {"host": Host, "loaders": lambda: (DataLoader(Stream(), batch_size=12),)},
    "accumulation": {
        "host": Host, "loaders": lambda: (shuffled(),), "accumulate_grad_batches": 2,
    },
    "bf16": {"host": Host, "loaders": lambda: (shuffled(),), "precision": "bf16-mixed"},
    "bf16-true": {"host": Host, "loaders": lambda: (shuffled(),), "precision": "bf16-true"},
    "validation within the epoch": {
        "host": Validating, "loaders": lambda: (shuffled(), plain()), "val_check_interval": 2,
    },
}  # fmt: skip


FRAGMENT = "callbacks/adversarial_examples"
NO_FIGURE = "lit_intriguing.callbacks.adversarial_examples.examples_figure"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take most of the time."""
    monkeypatch.setattr(NO_FIGURE, lambda *args, **options: None)


def check_no_trace(situation: dict[str, Any], layer: str, folder: Path) -> None:
    options = {key: value for key, value in situation.items() if key != "host"}
    without = run(folder / "without", host=situation["host"](), **options)
    callback = examples(layer=layer, every_n_steps=2)
    with_it = run(folder / "with", callback, host=situation["host"](), **options)
    assert len(without) == len(with_it)
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))
    assert len(list((folder / "with").rglob("*.pt"))) == len(callback._history) >= 2


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.usefixtures("undrawn")
def test_a_run_is_bit_for_bit_the_same_with_and_without(
    situation: dict[str, Any], tmp_path: Path
) -> None:
    check_no_trace(situation, "", tmp_path)


@pytest.mark.integration
@pytest.mark.parametrize("layer", ["conv", "head.3"])
def test_a_hidden_layer_and_the_drawing_leave_no_trace(layer: str, tmp_path: Path) -> None:
    check_no_trace(SITUATIONS["validation"], layer, tmp_path)
    assert len(list((tmp_path / "with" / "examples" / layer).glob("*.png"))) == 4


class Careless(Attack):
    """Does what an attack should not: backward, other modes, global random numbers."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Found:
        self.model.train()
        self.model.requires_grad_(False)
        start = (x + 0.01 * torch.rand_like(x) * random.random()).requires_grad_()
        self.model.requires_grad_(True)
        criterion.loss(model(start)).sum().backward()
        moved = x - 0.5 * start.grad.sign()  # type: ignore[union-attr]
        return Found(moved, torch.ones(len(x), dtype=torch.int64))


@pytest.mark.usefixtures("undrawn")
def test_a_careless_attack_changes_neither_gradients_nor_modes_nor_random_states(
    tmp_path: Path,
) -> None:
    options = {"loaders": lambda: (shuffled(),), "accumulate_grad_batches": 2}
    without = run(tmp_path, host=Host(), **options)
    host = Host()
    # BatchNorm's statistics do change in training mode: the guard does not copy buffers.
    callback = examples(attack=Careless(host.head), every_n_steps=1)
    with_it = run(tmp_path, callback, host=host, **options)
    assert len(callback._history) == 4
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("examples_first", [True, False])
def test_adversarial_training_is_not_disturbed_in_either_order(
    examples_first: bool, tmp_path: Path
) -> None:
    def training() -> AdversarialTraining:
        plan = PerturbedLayer(GradientAttack(0.5), pool=20, mix=6, refresh=6)
        return AdversarialTraining({"": plan, "head.3": plan}, seed=1)

    loaders = {"loaders": lambda: (shuffled(),)}
    alone = run(tmp_path, training(), host=Host(), **loaders)
    callback = examples(every_n_steps=1)
    both = [callback, training()] if examples_first else [training(), callback]
    together = run(tmp_path, *both, host=Host(), **loaders)
    assert len(callback._history) == 8
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    # The examples that AdversarialTraining adds are not among those that are attacked.
    content = torch.load(tmp_path / "examples" / "step-00000005.pt")
    assert len(content["labels"]) == 6


def lines_of(file: Path) -> list[dict[str, str]]:
    with file.open() as text:
        return list(csv.DictReader(text))


def contents(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(file, weights_only=True) for file in sorted(folder.rglob("step-*.pt"))]


def test_files_hold_the_examples_and_what_was_measured(tmp_path: Path) -> None:
    host = Validating()
    callback = examples(attack=GradientAttack(eps=3.0, steps=10), examples=7)
    trainer(tmp_path, callback, logger=CSVLogger(tmp_path, name="logs")).fit(
        host, shuffled(), plain()
    )
    folder = tmp_path / "logs" / "version_0" / "examples"
    names = [f"step-0000000{step}.{kind}" for step in (4, 8) for kind in ("csv", "png", "pt")]
    assert sorted(file.name for file in folder.iterdir()) == names
    first, last = contents(folder)
    assert (first["step"], first["epoch"], last["step"], last["epoch"]) == (4, 0, 8, 1)
    for key in ("clean", "labels", "targets"):
        assert torch.equal(first[key], last[key])
    assert not torch.equal(first["adversarial"], last["adversarial"])
    with torch.no_grad():
        answers = host.eval()(last["adversarial"]).argmax(1)
    assert torch.equal(answers, last["adversarial_predictions"])
    assert torch.equal(last["success"], answers == last["targets"])
    assert last["success"].any()
    assert (last["targets"] != last["labels"]).all()
    torch.testing.assert_close(last["distortion"], distortion(last["clean"], last["adversarial"]))
    assert (last["adversarial"] >= 0).all()
    assert (last["adversarial"] <= 1).all()
    assert (folder / "step-00000008.png").read_bytes().startswith(b"\x89PNG")
    lines = lines_of(folder / "step-00000008.csv")
    assert [int(line["label"]) for line in lines] == last["labels"].tolist()
    assert [float(line["distortion"]) for line in lines] == last["distortion"].tolist()


@pytest.mark.usefixtures("undrawn")
def test_logged_numbers_are_those_of_the_successful_examples(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="logs")
    trainer(tmp_path, examples(examples=9), logger=logger).fit(Host(), shuffled())
    lines = [
        line for line in lines_of(Path(logger.log_dir) / "metrics.csv") if line["examples/success"]
    ]
    for line, content in zip(lines, contents(tmp_path), strict=True):
        reached = content["distortion"][content["success"]]
        assert len(reached) > 0
        assert float(line["examples/success"]) == pytest.approx(len(reached) / 9)
        assert float(line["examples/distortion"]) == pytest.approx(float(reached.mean()))
        assert float(line["examples/distortion_median"]) == pytest.approx(np.median(reached))
        # Lightning's loggers count steps from 0.
        assert int(line["step"]) == content["step"] - 1


class Named(LightningDataModule):
    """Data that names its classes."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.class_names = names

    def train_dataloader(self) -> DataLoader[Any]:
        return shuffled()


def drawn_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], **options: Any
) -> Any:
    """What the last figure of a run is given."""
    given: list[Any] = []
    monkeypatch.setattr(NO_FIGURE, lambda *drawn, **rest: given.append((*drawn, rest)))
    trainer(folder, examples(**options), max_epochs=1).fit(Host(), datamodule=Named(names))
    return given[-1]


def test_figures_have_the_names_of_the_datas_classes_if_there_is_one_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, _, _ = drawn_in(tmp_path / "all", monkeypatch, ["cat", "dog", "ostrich", "tench"])
    assert {text.split(",")[0] for text in drawn.before} == {"cat", "dog", "ostrich", "tench"}
    drawn, _, _ = drawn_in(tmp_path / "some", monkeypatch, ["cat", "dog"])
    assert {text.split(",")[0] for text in drawn.before} == {"0", "1", "2", "3"}


def test_examples_that_a_goal_leaves_out_are_neither_counted_nor_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"goal": TargetClass(1), "examples": 12, "attack": GradientAttack(9.0, steps=10)}
    drawn, history, rest = drawn_in(tmp_path, monkeypatch, [], **options)
    (content,) = contents(tmp_path)
    attacked, success = content["attacked"], content["success"]
    count = int(attacked.sum())
    assert 0 < count <= 9
    assert len(drawn.clean) == len(drawn.before) == count
    assert history[-1].success == pytest.approx(int(success.sum()) / count)
    assert rest["title"].endswith(f": {int(success.sum())} of {count} successful")


class Hopeless(Attack):
    """Finds nothing."""

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Found:
        return Found(x, torch.zeros(len(x), dtype=torch.int64))


def test_without_any_success_no_distortion_is_logged(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="logs")
    host = Host()
    nn.init.zeros_(host.head[4].weight)
    host.head[4].bias = nn.Parameter(torch.tensor([9.0, 0.0, 0.0, 0.0]))

    class FirstClass(DataLoader[Any]):
        pass

    loader = FirstClass(TensorDataset(data().tensors[0], torch.zeros(ROWS).long()), batch_size=12)
    callback = examples(attack=Hopeless(), goal=TrueLabels())
    trainer(tmp_path, callback, logger=logger, max_epochs=1).fit(host, loader)
    (line,) = [
        line for line in lines_of(Path(logger.log_dir) / "metrics.csv") if line["examples/success"]
    ]
    assert float(line["examples/success"]) == 0.0
    assert "examples/distortion" not in line
    (content,) = contents(tmp_path)
    assert content["targets"].tolist() == [-1] * 6


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("interval", "options", "steps"),
    [
        ({}, {}, [4, 8, 12]),
        ({"every_n_epochs": 2}, {}, [8]),
        ({"every_n_steps": 5}, {}, [5, 10]),
        ({"every_n_steps": 4}, {}, [4, 8, 12]),
        ({"every_n_steps": 3}, {"max_epochs": -1, "max_steps": 6}, [3, 6]),
        ({"every_n_steps": 1}, {"accumulate_grad_batches": 2}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_examples_are_made_at_the_chosen_interval(
    interval: dict[str, int], options: dict[str, Any], steps: list[int], tmp_path: Path
) -> None:
    trainer(tmp_path, examples(**interval), **{"max_epochs": 3, **options}).fit(Host(), shuffled())
    assert [content["step"] for content in contents(tmp_path)] == steps


def rows_of(folder: Path) -> Tensor:
    return contents(folder)[0]["clean"]


def among(rows: Tensor, dataset: TensorDataset) -> bool:
    known = {tuple(row.flatten().tolist()) for row in dataset.tensors[0]}
    return all(tuple(row.flatten().tolist()) in known for row in rows)


@pytest.mark.usefixtures("undrawn")
def test_examples_come_from_validation_and_are_balanced(tmp_path: Path) -> None:
    trainer(tmp_path, examples(examples=8)).fit(Validating(), shuffled(), plain())
    assert among(rows_of(tmp_path), data(1))
    assert contents(tmp_path)[0]["labels"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.usefixtures("undrawn")
def test_without_validation_examples_come_from_the_training_loader(tmp_path: Path) -> None:
    trainer(tmp_path, examples(), limit_val_batches=0).fit(Validating(), shuffled(), plain())
    assert among(rows_of(tmp_path), data(0))


@pytest.mark.usefixtures("undrawn")
def test_examples_that_a_sampler_leaves_out_are_not_taken(tmp_path: Path) -> None:
    held_out = SubsetRandomSampler(range(40, ROWS))
    loader = DataLoader(data(), batch_size=4, sampler=held_out)
    trainer(tmp_path, examples(examples=8)).fit(Validating(), shuffled(), loader)
    assert among(rows_of(tmp_path), TensorDataset(data().tensors[0][40:]))


class OneClassFirst(Stream):
    def __iter__(self) -> Iterator[Any]:
        return iter([(x, y.new_tensor(0)) for x, y in data(5)])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("sanity", [0, 1])
def test_examples_of_a_stream_are_those_of_the_first_batch(sanity: int, tmp_path: Path) -> None:
    stream = DataLoader(OneClassFirst(), batch_size=12)
    ran = trainer(tmp_path, examples(), num_sanity_val_steps=sanity)
    ran.fit(Validating(), shuffled(), stream)
    # Without a sanity check the first batch is one of training.
    assert among(rows_of(tmp_path), data(5 if sanity else 0))


class Doubled(Validating):
    """Its batches are made on the way to the device, otherwise in training."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] * (0.1 if self.trainer.training else 0.5), batch[1]]


@pytest.mark.usefixtures("undrawn")
def test_hooks_see_the_stage_that_the_examples_belong_to(tmp_path: Path) -> None:
    trainer(tmp_path, examples()).fit(Doubled(), shuffled(), plain())
    assert among(rows_of(tmp_path) * 2, data(1))


@pytest.mark.usefixtures("undrawn")
def test_mappings_are_understood(tmp_path: Path) -> None:
    class Mapped(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step((batch["image"], batch["label"]), batch_idx)

    dataset = [{"image": x, "label": int(y)} for x, y in data()]
    trainer(tmp_path, examples()).fit(Mapped(), DataLoader(dataset, batch_size=12))  # type: ignore[arg-type]
    assert among(rows_of(tmp_path), data())


def test_a_trial_run_makes_examples_and_writes_nothing(tmp_path: Path) -> None:
    callback = examples(every_n_epochs=7)
    trainer(tmp_path, callback, fast_dev_run=True).fit(Validating(), shuffled(), plain())
    assert [moment.step for moment in callback._history] == [1]
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.filterwarnings("ignore:ExactResume. a resumed run .* a Stream streams them")
@pytest.mark.parametrize("stream", [False, True])
def test_a_resumed_run_goes_on_with_its_examples_and_its_history(
    stream: bool, tmp_path: Path
) -> None:
    def fit(folder: Path, **options: Any) -> AdversarialExamples:
        callback = examples(every_n_steps=2, dirpath=folder)
        keep = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=6, save_top_k=-1)
        callbacks = [callback, keep, ExactResume()]
        torch.manual_seed(0)
        loader = DataLoader(Stream(), 12) if stream else TensorLoader(*data().tensors, 12)
        ran = trainer(tmp_path, *callbacks, enable_checkpointing=True, max_epochs=3)
        ran.fit(Host(), loader, **options)
        return callback

    whole = fit(tmp_path / "whole")
    (checkpoint,) = (tmp_path / "kept").glob("*step=6.ckpt")
    resumed = fit(tmp_path / "resumed", ckpt_path=str(checkpoint))
    assert torch.equal(rows_of(tmp_path / "whole"), rows_of(tmp_path / "resumed"))
    # The checkpoint of step 6 is older than the examples of step 6, which are then made.
    steps = [one["step"] for one in contents(tmp_path / "resumed")]
    assert steps[0] == 6
    if not stream:  # of which the position is not known
        assert steps == [6, 8, 10, 12]
        assert resumed._history == whole._history


@pytest.mark.usefixtures("undrawn")
def test_a_new_fit_begins_a_new_history(tmp_path: Path) -> None:
    callback = examples()
    for _ in range(2):
        trainer(tmp_path, callback).fit(Host(), shuffled())
        assert [moment.step for moment in callback._history] == [4, 8]


class FailsLater(Attack):
    """Works on the two examples of the start, not in the run."""

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Found:
        if len(x) > 2:
            raise RuntimeError("out of luck")
        return Found(x, torch.zeros(len(x), dtype=torch.int64))


def test_an_attack_that_fails_in_the_run_costs_one_warning(tmp_path: Path) -> None:
    without = run(tmp_path, host=Host(), loaders=lambda: (shuffled(),))
    callback = examples(attack=FailsLater(), every_n_steps=1)
    with pytest.warns(UserWarning, match="no examples after 1 steps: RuntimeError: out of") as told:
        with_it = run(tmp_path, callback, host=Host(), loaders=lambda: (shuffled(),))
    assert len([one for one in told if "out of luck" in str(one.message)]) == 1
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))


def test_a_full_disk_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    callback = examples(dirpath=tmp_path / "file")
    with pytest.warns(UserWarning, match="made no examples after 4 steps: NotADirectoryError"):
        trainer(tmp_path, callback).fit(Host(), shuffled())


class Fails(Attack):
    """Cannot work."""

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Found:
        raise RuntimeError("no such luck")


class Spread(Host):
    """Logits for each position."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Headless(Host):
    forward = LightningModule.forward


def unlabelled() -> DataLoader[Any]:
    return DataLoader(TensorDataset(data().tensors[0]), batch_size=12)


def soft() -> DataLoader[Any]:
    return DataLoader(TensorDataset(data().tensors[0], torch.rand(ROWS, CLASSES)), batch_size=12)


def normalised() -> DataLoader[Any]:
    return DataLoader(TensorDataset(data().tensors[0] * 2 - 1, data().tensors[1]), batch_size=12)


LABELS = {"goal": TrueLabels()}
"""Without it the host's own loss is measured where there are no labels."""


@pytest.mark.parametrize(
    ("host", "loader", "options", "message"),
    [
        (Host, shuffled, {"layer": "head.7"}, "no layer 'head.7'. Nearest names: "),
        (Host, shuffled, {"layer": "conv", "model": "head"}, "'conv' is not inside 'head'"),
        (Host, unlabelled, LABELS, "no labels at 1; it has 1 entries.*An attack needs the labels"),
        (Host, soft, LABELS, "The labels must be a tensor of integers.*labels=<key"),
        (Host, normalised, {}, "range from -0.9.* to .*If they were normalised, give the bounds"),
        (Host, shuffled, {"attack": Fails()}, "Fails fails on .* RuntimeError: no such luck"),
        (Spread, shuffled, LABELS, r"is no logits \(N, C\)"),
        (
            Headless,
            shuffled,
            LABELS,
            "Headless has no forward.*model=<name>, one of 'conv', 'head'",
        ),
        (Host, lambda: DataLoader([torch.rand(SHAPE)] * 9), LABELS, "An attack needs the labels"),
    ],
)
def test_what_cannot_work_is_named_before_the_first_step(
    host: type[Host], loader: Any, options: Any, message: str, tmp_path: Path
) -> None:
    built = host()
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, examples(**options)).fit(built, loader())
    assert built.seen == []


def test_a_stream_without_labels_is_refused_at_its_first_batch(tmp_path: Path) -> None:
    class Bare(Stream):
        def __iter__(self) -> Iterator[Any]:
            return iter([x for x, _ in data()])

    host = Host()
    with pytest.raises(UserError, match="An attack needs the labels"):
        trainer(tmp_path, examples(**LABELS)).fit(host, DataLoader(Bare(), batch_size=12))
    assert host.seen == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1, not 0"),
        ({"every_n_steps": 0}, "every_n_steps must be at least 1, not 0"),
        ({"examples": 0}, "examples must be at least 1, not 0"),
        ({"magnify": 0.0}, "magnify must be positive, not 0.0"),
        ({"magnify": float("inf")}, "magnify must be positive, not inf"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examples(**options)


@pytest.mark.usefixtures("undrawn")
def test_two_callbacks_keep_apart_by_their_names(tmp_path: Path) -> None:
    layers = [examples(), examples(layer="head.3"), examples(name="examples/second", seed=5)]
    logger = CSVLogger(tmp_path, name="")
    trainer(tmp_path, *layers, logger=logger, max_epochs=1).fit(Host(), shuffled())
    found = {file.parent.relative_to(logger.log_dir) for file in tmp_path.rglob("*.pt")}
    assert found == {Path("examples"), Path("examples/head.3"), Path("examples/second")}
    with pytest.raises(RuntimeError, match="more than one stateful callback"):
        trainer(tmp_path, examples(), examples(seed=1))


@pytest.mark.usefixtures("undrawn")
def test_a_layer_is_named_from_the_module_even_where_a_part_gives_the_logits(
    tmp_path: Path,
) -> None:
    class Wrapped(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Host()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.inner(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = examples(layer="inner.head.3", model="inner")
    trainer(tmp_path, callback, max_epochs=1).fit(Wrapped(), shuffled())
    (content,) = contents(tmp_path)
    assert content["clean"].shape == (6, 10)
    assert callback.name == "examples/inner.head.3"


def test_normalised_images_are_shown_between_their_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(NO_FIGURE, lambda one, *args, **options: shown.append(one))
    callback = examples(bounds=Bounds(lower=[-1.0], upper=[1.0]))
    trainer(tmp_path, callback, max_epochs=1).fit(Host(), normalised())
    (content,) = contents(tmp_path)
    torch.testing.assert_close(shown[0].clean, (content["clean"] + 1) / 2)
    assert float(shown[0].adversarial.min()) >= 0
    assert float(shown[0].adversarial.max()) <= 1


def test_what_is_neither_image_nor_units_is_left_undrawn_with_one_warning(tmp_path: Path) -> None:
    class Deep(Host):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[:, :, 0])

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self(batch[0]), batch[1])

    x, y = data().tensors
    loader = DataLoader(TensorDataset(x.unsqueeze(2), y), batch_size=12)
    with pytest.warns(
        UserWarning, match=r"no figure of tensors of shape \(6, 1, 1, 8, 8\)"
    ) as told:
        trainer(tmp_path, examples()).fit(Deep(), loader)
    assert len([one for one in told if "no figure" in str(one.message)]) == 1
    assert len(list(tmp_path.rglob("*.csv"))) == 2
    assert not list(tmp_path.rglob("*.png"))


def test_the_fragment_adds_the_callback_to_a_run_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fragments = ["model/fc100_100_10", "data/digits", "digits", "trainer/cpu", "logger/csv"]
    configs = [f"--config=configs/{name}.yaml" for name in (*fragments, FRAGMENT)]
    cli.main(["fit", *configs, "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"])
    (content,) = contents(tmp_path / "lightning_logs" / "version_0" / "examples")
    assert content["clean"].shape == (16, 1, 8, 8)
    assert content["success"].any()


def test_an_evaluation_of_a_checkpoint_leaves_no_state_behind(tmp_path: Path) -> None:
    callback = examples()
    callback.load_state_dict({"rows": None, "history": [(9, 1.0, 0.5, 0.5)]})
    callback.teardown(None, None, "test")  # type: ignore[arg-type]
    trainer(tmp_path, callback, fast_dev_run=True).fit(Host(), shuffled())
    assert [moment.step for moment in callback._history] == [1]
