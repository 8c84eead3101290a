"""RobustnessEvaluation: no trace on the run, the right numbers, mistakes told at the start."""

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, IterableDataset

from lit_intriguing.attacks import Attack, BoxLBFGS, GradientAttack, Restarts, TrueLabels
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer, RobustnessEvaluation
from lit_intriguing.callbacks.robustness_evaluation import robustness_figure
from lit_intriguing.data import Digits
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from lit_intriguing.robustness import evaluate_tensors
from lit_intriguing.schemes import ExamplesAlone
from tests.callbacks.test_adversarial_examples import (
    SITUATIONS,
    Host,
    Validating,
    data,
    lines_of,
    plain,
    run,
    shuffled,
    trainer,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`IterableDataset` has `__len__` defined"),
]
SIZES = {"l2": [0.3, 0.9], "linf": [0.05]}
ATTACKS: dict[str, Attack] = {
    "near": BoxLBFGS(random_starts=1),
    "pgd": Restarts(GradientAttack(1.0, "inf", steps=3, random_start=True), 2),
}


class Examined(Validating):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", F.cross_entropy(self(batch[0]), batch[1]))


def evaluation(**options: Any) -> RobustnessEvaluation:
    given = {"attacks": ATTACKS, "sizes": SIZES, "examples": 8, **options}
    return RobustnessEvaluation(**given)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that takes no time."""
    from lit_intriguing.figures.canvas import new_figure

    name = f"{RobustnessEvaluation.__module__}.{robustness_figure.__name__}"
    monkeypatch.setattr(name, lambda *args, **options: new_figure(1, 1))


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", ["validation", "stream", "accumulation", "bf16"])
def test_a_run_is_bit_for_bit_the_same_with_and_without(kind: str, tmp_path: Path) -> None:
    options = dict(SITUATIONS[kind])
    host = options.pop("host")
    without = run(tmp_path / "without", host=host(), **options)
    callback = evaluation(every_n_steps=2, certify=True)
    with_it = run(tmp_path / "with", callback, host=host(), **options)
    assert len(callback._history) >= 2
    assert len(without) == len(with_it)
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))


@pytest.mark.usefixtures("undrawn")
def test_the_numbers_are_those_of_the_weights_at_that_step(tmp_path: Path) -> None:
    host, logger = Validating(), CSVLogger(tmp_path, name="logs")
    callback = evaluation()
    trainer(tmp_path, callback, logger=logger).fit(host, shuffled(), plain())
    assert callback._chosen is not None
    found = evaluate_tensors(host.eval(), *callback._chosen, attacks=ATTACKS, sizes=SIZES)
    last = lines_of(Path(logger.log_dir) / "metrics.csv")[-1]
    assert float(last["robustness/clean"]) == pytest.approx(float(found.wrong.double().mean()))
    errors = found.error("l2", SIZES["l2"]).tolist()
    assert [float(last[f"robustness/l2_{size:g}"]) for size in SIZES["l2"]] == errors
    assert float(last["robustness/linf_0.05"]) == found.error("linf", [0.05]).item()
    assert float(last["robustness/near/l2_0.9"]) == found.error("l2", [0.9], ["near"]).item()
    assert float(last["robustness/gradients"]) == found.queries.double().mean().item()
    assert float(last["robustness/seconds"]) > 0
    assert 0 < errors[1] <= 1
    steps = sorted(path.stem for path in tmp_path.rglob("robustness/*.png"))
    assert steps == ["step-00000004", "step-00000008"]
    (table,) = tmp_path.rglob("robustness/step-00000008.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["error, %"]) / 100 for row in rows[:2]] == pytest.approx(errors)


@pytest.mark.usefixtures("undrawn")
def test_a_test_measures_examples_of_the_test_data_and_leaves_the_host_as_it_was(
    tmp_path: Path,
) -> None:
    def tested(*callbacks: Any) -> tuple[Any, list[Tensor]]:
        host, ran = Examined(), trainer(tmp_path, *callbacks)
        torch.manual_seed(7)
        ran.test(host, plain(seed=5), verbose=False)
        return ran, [*host.state_dict().values(), torch.get_rng_state()]

    _, without = tested()
    ran, with_it = tested(evaluation(examples=12))
    assert all(torch.equal(*pair) for pair in zip(without, with_it, strict=True))
    metrics = {name: float(value) for name, value in ran.callback_metrics.items()}
    assert 0 < metrics["robustness/test/l2_0.9"] <= 1
    assert metrics["robustness/test/clean"] <= metrics["robustness/test/l2_0.3"]
    assert "robustness/l2_0.9" not in metrics
    (picture,) = tmp_path.rglob("robustness/test/*.png")
    assert picture.name == "step-00000000.png"


class Streamed(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([data()[row] for row in range(12)])


def test_a_stream_of_test_data_is_left_alone_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="measures nothing of the test data"):
        trainer(tmp_path, evaluation()).test(Examined(), DataLoader(Streamed(), 6), verbose=False)


@pytest.mark.usefixtures("undrawn")
def test_checkpoints_are_chosen_by_an_error_under_attack(tmp_path: Path) -> None:
    saved = ModelCheckpoint(tmp_path / "best", monitor="robustness/l2_0.9", mode="min")
    options = {"enable_checkpointing": True}
    callback = evaluation(attacks={"near": BoxLBFGS()}, sizes={"l2": [0.9]})
    trainer(tmp_path, callback, saved, **options).fit(Validating(), shuffled(), plain())
    assert saved.best_model_score is not None
    errors = [moment.errors["l2_0.9"] for moment in callback._history]
    assert float(saved.best_model_score) == pytest.approx(min(errors))


@pytest.mark.parametrize(
    ("monitor", "nearest"),
    [("robustness/l2_09", "robustness/l2_0.9"), ("robustness/claen", "robustness/clean")],
)
def test_a_misspelt_monitor_is_refused_before_training_and_the_name_it_gives_works(
    monitor: str, nearest: str, tmp_path: Path
) -> None:
    stop = EarlyStopping(monitor, check_finite=False)
    ran = trainer(tmp_path, evaluation(), stop)
    with pytest.raises(UserError, match=f"EarlyStopping monitors '{monitor}'.*'{nearest}'"):
        ran.fit(Validating(), shuffled(), plain())
    assert ran.global_step == 0
    stop = EarlyStopping(nearest, check_finite=False)
    trainer(tmp_path, evaluation(), stop, max_epochs=1).fit(Validating(), shuffled(), plain())
    assert stop.best_score.isfinite()


@pytest.mark.parametrize(
    "monitor", ["robustness/seconds", "robustness/test/clean", "robustness/certified/l2_0.9"]
)
def test_what_is_not_there_when_it_is_asked_for_cannot_be_monitored(
    monitor: str, tmp_path: Path
) -> None:
    stop = EarlyStopping(monitor, check_finite=False)
    ran = trainer(tmp_path, evaluation(certify=False), stop)
    with pytest.raises(UserError, match="which is not measured"):
        ran.fit(Validating(), shuffled(), plain())


class Rowless(Validating):
    """Its loss knows no labels."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.head(self.conv(batch[0])).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self(batch[0]).square().mean())


def test_a_host_whose_loss_needs_no_labels_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs class labels and logits.*AdversarialExamples"):
        trainer(tmp_path, evaluation()).fit(Rowless(), shuffled(), plain())


class ImagesOnly(GradientAttack):
    """An attack that wants more than the host has."""

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Any:
        if x.shape[1] != 3:
            raise ValueError("it takes images of three channels.")
        return super().search(model, x, criterion, **options)


def test_an_attack_that_cannot_work_is_named_before_training(tmp_path: Path) -> None:
    ran = trainer(tmp_path, evaluation(attacks={"mine": ImagesOnly(1.0)}))
    with pytest.raises(UserError, match="RobustnessEvaluation: the attack 'mine': it takes images"):
        ran.fit(Validating(), shuffled(), plain())
    assert ran.global_step == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": {"l2": [1.0, 0.5]}}, "RobustnessEvaluation: sizes must increase"),
        ({"sizes": {"l2": [1.0]}}, "the attack 'pgd' .Restarts. searches in a ball of linf"),
        ({"examples": 0}, "examples must be at least 1"),
        ({"attacks": {}}, "attacks is empty"),
        ({"shared": "yes"}, "shared must be true or false"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluation(**options)


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
def test_a_resumed_run_goes_on_with_the_same_examples_and_their_history(tmp_path: Path) -> None:
    def fit(callback: RobustnessEvaluation, epochs: int, **options: Any) -> Any:
        ran = trainer(tmp_path, callback, max_epochs=epochs)
        ran.fit(Validating(), shuffled(), plain(), **options)
        return ran

    first, whole = evaluation(every_n_epochs=1), evaluation(every_n_epochs=1)
    fit(first, 1).save_checkpoint(tmp_path / "one.ckpt")
    resumed = evaluation(every_n_epochs=1)
    fit(resumed, 2, ckpt_path=tmp_path / "one.ckpt", weights_only=False)
    fit(whole, 2)
    assert [one.step for one in resumed._history] == [one.step for one in whole._history]
    assert resumed._history[0] == first._history[0]
    assert resumed._chosen is not None
    assert whole._chosen is not None
    assert torch.equal(resumed._chosen[0], whole._chosen[0])


class Wide(LightningModule):
    """A stack of dense layers, which is certified unasked."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(64, 6), torch.nn.ReLU(), torch.nn.Linear(6, 4)
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
def test_dense_stacks_are_certified_unasked_and_others_when_asked(tmp_path: Path) -> None:
    def certified(host: Any, **options: Any) -> float:
        ran = trainer(tmp_path, evaluation(sizes={"l2": [0.3], "linf": [0.05]}, **options))
        ran.fit(host, shuffled())
        name = "robustness/certified/l2_0.3"
        return float(ran.callback_metrics.get(name, torch.tensor(math.nan)))

    assert 0 < certified(Wide(), model="net") <= 1
    assert math.isnan(certified(Wide(), model="net", certify=False))
    assert math.isnan(certified(Host()))
    assert 0 < certified(Host(), certify=True) <= 1


@pytest.mark.integration
def test_the_whole_is_drawn_as_a_figure(tmp_path: Path) -> None:
    options = {"attacks": {"near": BoxLBFGS()}, "sizes": {"l2": [0.5]}, "model": "net"}
    trainer(tmp_path, evaluation(**options)).fit(Wide(), shuffled())
    pictures = list(tmp_path.rglob("robustness/*.png"))
    assert len(pictures) == 2
    assert all(path.stat().st_size > 10_000 for path in pictures)


class History(Callback):
    """Has had a lower error before each measurement."""

    def __init__(self, evaluation: RobustnessEvaluation) -> None:
        self.evaluation = evaluation

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        before = [(1, {"clean": 0.0, "linf_0.4": 0.4})]
        self.evaluation.load_memory({"history": before})


@pytest.mark.integration
@pytest.mark.usefixtures("undrawn")
def test_training_by_one_large_step_is_said_to_leak_labels_and_to_overfit(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    steps = {"pgd": GradientAttack(0.4, "inf", steps=20)}
    callback = RobustnessEvaluation(
        steps, {"linf": [0.4]}, every_n_epochs=25, examples=300, certify=False
    )
    plan = PerturbedLayer(GradientAttack(0.4, "inf"), goal=TrueLabels())
    fgsm = AdversarialTraining({"": plan}, scheme=ExamplesAlone())
    model = Classifier((64, 256, 256, 10), optimizer=lambda p: torch.optim.Adam(p, lr=5e-3))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run_of = trainer(tmp_path, fgsm, History(callback), callback, max_epochs=25)
        run_of.fit(model, Digits(validation=100))
    texts = [str(one.message) for one in warned]
    assert sum("the label leaks into them" in text for text in texts) == 1
    assert sum("training may have overfitted to its own attack" in text for text in texts) == 1


def test_plain_training_is_said_nothing_of(tmp_path: Path) -> None:
    callback = RobustnessEvaluation(sizes={"l2": [0.5]}, every_n_epochs=1, examples=60)
    # Warnings are errors in the tests.
    trainer(tmp_path, callback).fit(Classifier((64, 16, 10)), Digits(validation=100))
