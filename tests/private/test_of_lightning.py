"""The private names of Lightning in use: when one moves, what of ours it carries."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.loops.optimization.manual import _ManualOptimization
from lightning.pytorch.loops.prediction_loop import _PredictionLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from lightning.pytorch.trainer import call
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import (
    _LoggerConnector,
)
from lightning.pytorch.trainer.states import RunningStage
from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, LipschitzPenalty, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.hosts.training_step import StepNotCalledError
from lit_intriguing.private import of_lightning
from lit_intriguing.splits.loop import ChunkLoop, run_loop
from lit_intriguing.splits.split import SplitData

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Host(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Hand(Host):
    """Optimises by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


def loader() -> TensorLoader:
    return TensorLoader(torch.rand(6, 4), torch.arange(6) % 3, 3)


class Data(LightningDataModule):
    def test_dataloader(self) -> TensorLoader:
        return loader()


@contextmanager
def carries(what: str) -> Iterator[None]:
    """Fail with a sentence that says what of ours a private name of Lightning carries."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}. Without this name {what}.")


class Watching(Callback):
    """Calls a function in the middle of a fit."""

    def __init__(self, look: Any) -> None:
        self.look = look

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        self.seen = self.look(trainer)


def seen_in_a_fit(look: Any, host: type[LightningModule] = Host, **options: Any) -> Any:
    watching = Watching(look)
    trainer = Trainer(callbacks=[watching], max_steps=2, **QUIET, **options)
    trainer.fit(host(), loader(), loader())
    return watching.seen


TRAINING = "AdversarialTraining and LipschitzPenalty would do nothing, silently"


@pytest.mark.parametrize("loop", [_AutomaticOptimization, _ManualOptimization])
def test_loops_look_the_strategys_training_step_up_by_name(loop: type) -> None:
    with carries(TRAINING):
        source = inspect.getsource(loop)
        assert '_call_strategy_hook(trainer, "training_step"' in source
        assert "getattr(trainer.strategy, hook_name)" in inspect.getsource(call._call_strategy_hook)
        assert "training_step" in vars(Strategy)


def test_the_loop_looks_the_strategys_predict_step_up_by_name() -> None:
    with carries(
        "lightning attack, transfer, probe and lipschitz --radii would run the module's own "
        "predict_step, silently"
    ):
        source = inspect.getsource(_PredictionLoop)
        assert '_call_strategy_hook(trainer, "predict_step"' in source
        assert "predict_step" in vars(Strategy)


@pytest.mark.parametrize("host", [Host, Hand])
def test_a_replaced_training_step_is_called_and_can_be_restored(host: type[Host]) -> None:
    trainer, calls = Trainer(max_steps=2, **QUIET), []

    def step(*args: Any) -> Any:
        calls.append(args)
        return Strategy.training_step(trainer.strategy, *args)

    with carries(TRAINING):
        of_lightning.replace_strategy_step(trainer, "training_step", step)
        trainer.fit(host(), loader())
        assert len(calls) == 2
        for _ in range(2):
            of_lightning.restore_strategy_step(trainer, "training_step")
        assert trainer.strategy.training_step.__func__ is Strategy.training_step  # type: ignore[attr-defined]


def test_callbacks_are_a_list_that_can_be_changed() -> None:
    trainer, added = Trainer(**QUIET), Callback()
    with carries("lightning attack, transfer, probe and lipschitz --radii would do nothing"):
        with of_lightning.added_callback(trainer, added):
            assert added in of_lightning.callbacks_of(trainer)
        assert added not in of_lightning.callbacks_of(trainer)
        assert "trainer.callbacks" in inspect.getsource(call._call_callback_hooks)


def test_accumulation_is_known() -> None:
    with carries("AdversarialTraining and LipschitzPenalty would log at the wrong steps"):
        assert seen_in_a_fit(of_lightning.accumulates_gradients) is False
        assert callable(_FitLoop._should_accumulate)


def test_metrics_are_written_when_the_logger_connector_says_so() -> None:
    with carries("AdversarialTraining and LipschitzPenalty would log at the wrong steps"):
        assert seen_in_a_fit(of_lightning.logger_is_due, log_every_n_steps=2) is True
        assert isinstance(_LoggerConnector.should_update_logs, property)
        source = inspect.getsource(_LoggerConnector.update_train_step_metrics)
        assert "fit_loop._should_accumulate() and" in source
        assert "should_update_logs" in source


def test_optimiser_steps_are_counted() -> None:
    with carries(
        "the step numbers of AdversarialExamples, TransferEvaluation and LipschitzMonitor, in file "
        "names and loggers, would be wrong"
    ):
        assert seen_in_a_fit(of_lightning.optimizer_steps) == 1
        assert "self._batches_that_stepped += 1" in inspect.getsource(
            _TrainingEpochLoop.advance
        ) + (inspect.getsource(_TrainingEpochLoop.on_advance_end))


def test_loops_keep_their_loaders() -> None:
    with carries(
        "AdversarialExamples and TransferEvaluation would find no examples, and ExactResume would "
        "not see whether the loaders resume"
    ):
        training, validation = seen_in_a_fit(
            lambda trainer: [
                of_lightning.loaders_of(loop)
                for loop in (trainer.fit_loop, of_lightning.validation_loop(trainer))
            ]
        )
        assert [type(one) for one in (*training, *validation)] == [TensorLoader] * 2
        assert of_lightning.loaders_of(Trainer(**QUIET).fit_loop) == []


def test_loaders_can_be_brought_to_their_saved_position() -> None:
    with carries("ExactResume would begin an epoch anew where it was resumed within one"):
        trainer = Trainer(**QUIET)
        of_lightning.restore_loader_positions(trainer)
        source = inspect.getsource(_FitLoop._load_combined_loader_states)
        assert "_combined_loader_states_to_load" in source
        assert "restarting" in source


def test_the_users_hook_before_the_transfer_is_called() -> None:
    class Doubling(Host):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return 2 * batch if isinstance(batch, Tensor) else batch

    with carries("AdversarialExamples and TransferEvaluation would attack unprepared examples"):
        found = seen_in_a_fit(
            lambda trainer: of_lightning.before_batch_transfer(
                trainer.lightning_module, torch.ones(1)
            ),
            Doubling,
        )
        assert found.item() == 2


def test_a_module_without_a_trainer_says_so() -> None:
    with carries("Classifier could not be used without a Trainer, nor know when to log train/loss"):
        host = Host()
        assert of_lightning.trainer_or_none(host) is None
        trainer = Trainer(**QUIET)
        host.trainer = trainer
        assert of_lightning.trainer_or_none(host) is trainer


def test_callbacks_are_restored_for_evaluation_as_well() -> None:
    with carries("callbacks would keep the state of a checkpoint that is only evaluated"):
        assert callable(_CheckpointConnector.restore_callbacks)


def elsewhere(trainer: Trainer, hook: str, *args: Any, **kwargs: Any) -> Any:
    """Stand in for a Lightning that no longer looks the strategy's methods up on the instance."""
    return getattr(type(trainer.strategy), hook)(trainer.strategy, *args, **kwargs)


CALLBACKS = {
    "AdversarialTraining": lambda: AdversarialTraining({"": PerturbedLayer(GradientAttack(0.1))}),
    "LipschitzPenalty": lambda: LipschitzPenalty(0.1),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_fit_that_passes_the_replaced_step_by_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "_call_strategy_hook", elsewhere)
    trainer = Trainer(callbacks=[CALLBACKS[name]()], max_steps=3, **QUIET)
    expected = rf"{name} had no effect on the first batch: .* replaces strategy\.training_step"
    with pytest.raises(StepNotCalledError, match=expected):
        trainer.fit(Host(), loader())
    assert trainer.global_step == 1


@pytest.mark.parametrize(
    ("name", "host"),
    [("AdversarialTraining", Host), ("AdversarialTraining", Hand), ("LipschitzPenalty", Host)],
)
def test_a_fit_that_calls_the_replaced_step_is_none(name: str, host: type[Host]) -> None:
    Trainer(callbacks=[CALLBACKS[name]()], max_steps=3, **QUIET).fit(host(), loader())


def test_batches_without_a_step_are_no_error() -> None:
    class Holes(TensorLoader):
        def __iter__(self) -> Iterator[Any]:
            yield None
            yield from super().__iter__()

    holes = Holes(torch.rand(6, 4), torch.arange(6) % 3, 3)
    trainer = Trainer(callbacks=[CALLBACKS["AdversarialTraining"]()], max_steps=1, **QUIET)
    with pytest.warns(UserWarning, match="yielded None"):
        trainer.fit(Host(), holes)
    assert trainer.global_step == 1


class Counting(ChunkLoop):
    """Counts the chunks."""

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        self.chunks: list[int] = []

    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        self.chunks.append(index)
        self.advance("")

    def finish(self, trainer: Trainer, chunks: int) -> None:
        assert len(self.chunks) == chunks


def test_an_attack_runs_in_place_of_the_predict_step() -> None:
    counting = Counting(SplitData(Data(), "test", 2, None))
    run_loop(Trainer(**QUIET), Host(), counting, lambda: "nothing is kept")
    assert counting.chunks == [0, 1, 2]


def test_an_attack_that_passes_the_replaced_step_by_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call, "_call_strategy_hook", elsewhere)
    expected = r"Attack had no effect on the first batch: .* replaces strategy\.predict_step"
    trainer, split = Trainer(**QUIET), SplitData(Data(), "test", 2, None)
    with pytest.raises(StepNotCalledError, match=expected):
        run_loop(trainer, Host(), Counting(split), lambda: "nothing is kept")


def test_a_lightning_module_is_told_by_its_name_and_package() -> None:
    """Hangs on the name `LightningModule`: what `muted` keeps from the loggers of a run."""
    assert of_lightning.is_lightning_module(Hand())
    assert not of_lightning.is_lightning_module(nn.Linear(1, 1))

    class LightningModuleOfOurs(nn.Module):
        pass

    assert not of_lightning.is_lightning_module(LightningModuleOfOurs())


@pytest.mark.parametrize("kind", [LightningModule, WeightAveraging, Precision, RunningStage])
def test_a_class_has_its_twin_in_the_other_package(kind: type[Any]) -> None:
    """Hangs on the same modules in both: hosts of `pytorch_lightning` under our callbacks."""
    other = pytest.importorskip("pytorch_lightning")
    for thing in (other.Trainer, other.LightningModule, other.Callback):
        twin = of_lightning.same_class_for(thing.__new__(thing), kind)
        assert twin is not kind
        assert twin.__name__ == kind.__name__
        assert twin.__module__.startswith("pytorch_lightning.")
    for thing in (Trainer.__new__(Trainer), Hand(), nn.Linear(1, 1)):
        assert of_lightning.same_class_for(thing, kind) is kind


def test_a_callback_of_ours_becomes_one_of_the_other_package() -> None:
    """Hangs on bases that can be set: YAML for the command line of `pytorch_lightning`."""
    other = pytest.importorskip("pytorch_lightning")

    class Looks(Callback):
        pass

    class Sees(Looks):
        def on_fit_start(self, *args: object) -> None:
            pass

    Looks.__module__ = Sees.__module__ = "lit_intriguing.callbacks.looks"
    for _ in range(2):
        of_lightning.make_known_to_both(Sees)
    assert issubclass(Sees, other.Callback)
    assert isinstance(Sees(), Callback)
    assert Looks.__bases__ == (Callback, other.Callback)
    assert Sees.__bases__ == (Looks,)
    assert Callback.__bases__ == (object,)


def test_values_for_monitors_are_kept_among_the_callback_metrics() -> None:
    """Hangs on `_logger_connector._callback_metrics`: what `EarlyStopping` sees of our measures."""
    trainer = Trainer(**QUIET)
    of_lightning.set_callback_metrics(trainer, {"examples/distortion": torch.tensor(2.0)})
    assert trainer.callback_metrics["examples/distortion"] == 2


def test_a_pass_without_backward_is_known() -> None:
    """Hangs on `fit_loop._skip_backward`: `AdversarialTraining` beside weight averaging."""
    trainer = Trainer(**QUIET)
    assert not of_lightning.skips_backward(trainer)
    trainer.fit_loop._skip_backward = True
    assert of_lightning.skips_backward(trainer)
    assert trainer.fit_loop.epoch_loop.automatic_optimization._skip_backward


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_step_counts_as_taken_in_the_validation_after_it(accumulate: int) -> None:
    """Hangs on `_batches_that_stepped`, `_should_accumulate`: the numbers of measurements."""
    seen: dict[str, list[int]] = {"validation": [], "epoch": []}

    class Look(Callback):
        def on_validation_start(self, trainer: Trainer, *rest: object) -> None:
            seen["validation"].append(of_lightning.optimizer_steps(trainer))

        def on_train_epoch_end(self, trainer: Trainer, *rest: object) -> None:
            seen["epoch"].append(of_lightning.optimizer_steps(trainer))

    options = {**QUIET, "num_sanity_val_steps": 0, "accumulate_grad_batches": accumulate}
    Trainer(**options, max_epochs=3, callbacks=[Look()]).fit(Host(), loader(), loader())
    assert seen["validation"] == seen["epoch"]


def test_the_iteration_of_an_epoch_begins_once() -> None:
    """Hangs on `_data_fetcher` and the condition for a second `iter`: exact restarts."""

    class Counted(torch.utils.data.DataLoader):
        begun = 0

        def __iter__(self) -> Iterator[Any]:
            self.begun += 1
            return super().__iter__()

    class Begins(Callback):
        def on_train_epoch_start(self, trainer: Trainer, *rest: object) -> None:
            of_lightning.begin_iteration(trainer)

    data = torch.utils.data.TensorDataset(torch.rand(6, 4), torch.arange(6) % 3)
    alone, beside = Counted(data), Counted(data)
    Trainer(**QUIET, max_epochs=3).fit(Host(), alone)
    Trainer(**QUIET, max_epochs=3, callbacks=[Begins()]).fit(Host(), beside)
    assert alone.begun == 3
    assert beside.begun == 4  # the first once more: before it no callback is called


def test_an_epoch_that_runs_counts_as_begun_after_a_restart_from_its_last_batch(
    tmp_path: Path,
) -> None:
    """Hangs on `epoch_progress` and its counters: exact restarts."""
    ready: list[tuple[int, int]] = []

    class Saves(Callback):
        def on_train_batch_end(self, trainer: Trainer, *rest: object) -> None:
            if trainer.global_step == trainer.num_training_batches:
                trainer.save_checkpoint(tmp_path / "last_batch.ckpt")

    class Repairs(Callback):
        def on_train_batch_start(self, trainer: Trainer, *rest: object) -> None:
            before = trainer.fit_loop.epoch_progress.total.ready
            of_lightning.repair_epoch_counters(trainer)
            ready.append((before, trainer.fit_loop.epoch_progress.total.ready))

    Trainer(**QUIET, max_epochs=2, callbacks=[Saves()]).fit(Host(), loader())
    restarted = Trainer(**QUIET, max_epochs=2, callbacks=[Repairs()])
    restarted.fit(Host(), loader(), ckpt_path=tmp_path / "last_batch.ckpt", weights_only=True)
    # Where the first is 2 by itself, Lightning is mended and the repair may go.
    assert ready[0] == (1, 2)
    assert set(ready[1:]) <= {(2, 2)}


@pytest.mark.parametrize("repaired", [True, False])
def test_an_epoch_at_its_end_is_not_ended_again_after_a_restart(
    repaired: bool, tmp_path: Path
) -> None:
    """Hangs on the restart stages of loops: exact restarts of runs with `max_steps` alone."""
    ended: list[int] = []

    class Saves(Callback):
        def on_train_epoch_end(self, trainer: Trainer, *rest: object) -> None:
            ended.append(trainer.global_step)
            trainer.save_checkpoint(tmp_path / f"after_{len(ended)}.ckpt")

    class Repairs(Callback):
        def on_train_start(self, trainer: Trainer, *rest: object) -> None:
            if repaired:
                of_lightning.leave_finished_epoch(trainer)

    steps = len(loader())
    Trainer(**QUIET, max_steps=steps, callbacks=[Saves()]).fit(Host(), loader())
    restarted = Trainer(**QUIET, max_steps=2 * steps, callbacks=[Repairs(), Saves()])
    restarted.fit(Host(), loader(), ckpt_path=tmp_path / "after_1.ckpt", weights_only=True)
    # Where it is the same without, Lightning is mended and the repair may go.
    assert ended == ([steps, 2 * steps] if repaired else [steps, steps + 1, 2 * steps])


@pytest.mark.parametrize(
    ("strategy", "starts"),
    [("auto", False), ("ddp", False), ("ddp_fork", True), ("ddp_spawn", True)],
)
def test_strategies_that_start_all_processes_are_known(strategy: str, starts: bool) -> None:
    """Hangs on the class of the launcher: the results of studies under `ddp_fork`."""
    trainer = Trainer(**QUIET | {"strategy": strategy, "devices": 1 if strategy == "auto" else 2})
    assert of_lightning.starts_processes(trainer) is starts


def test_a_module_made_from_a_configuration_is_known_as_one():
    from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters_context

    assert not of_lightning.made_by_command_line()
    with _given_hyperparameters_context({}, "lightning.pytorch.cli.instantiate_module"):
        assert of_lightning.made_by_command_line(), (
            "checkpoints of a run of the command line say how their model was made by what "
            "LightningCLI puts into `_given_hyperparameters`"
        )


def test_the_prefix_of_a_logger_is_what_it_puts_before_metrics(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    class Seen(CSVLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            super().log_metrics(metrics, step)

    for prefix in ("", "mine"):
        logger = Seen(tmp_path / prefix, prefix=prefix)
        logger.log_metrics({"loss": 1.0}, 0)
        (row,) = logger.experiment.metrics
        assert of_lightning.prefix_of(logger) + "loss" in row


def test_a_strategy_says_whether_it_saves_shards() -> None:
    shards = {
        saves: of_lightning.saves_shards(ModelParallelStrategy(save_distributed_checkpoint=saves))
        for saves in (True, False)
    }
    assert shards == {True: True, False: False}, "sharded checkpoints are not saved whole"


def test_lightning_notes_the_hook_that_it_calls_in_one_attribute() -> None:
    """Our modules set it at once; under another name their steps are slower."""
    noted: list[Any] = []

    class Noting(Host):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == of_lightning.HOOK_NOTE:
                noted.append(value)
            super().__setattr__(name, value)

    Trainer(max_steps=1, **QUIET).fit(Noting(), loader())
    with carries("our modules' steps take a few hundredths longer"):
        assert "training_step" in noted
        assert noted[-1] is None
