"""Trains the models that a study needs, each once."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from lightning.fabric.utilities.rank_zero import rank_zero_only

from lit_intriguing.cli import closing_test
from lit_intriguing.configuration.patches import Config, with_value
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.sources import ModelSource, fit_config
from lit_intriguing.training_runs.measure import build, stopped_by_user
from lit_intriguing.training_runs.progress import Progress, duration
from lit_intriguing.training_runs.store import Run, RunStore, Stage
from lit_intriguing.training_runs.workers import run_all
from lit_intriguing.whole_files import draft

_LAUNCHERS = {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"}
"""Where one of these is set, all processes begin together; else Lightning starts the others."""
_BEGAN = time.time()
_SPREAD = 60.0
"""Seconds between the starts of processes, at most."""


def train_and_save(folder: Path, run: Run) -> float:
    """Train and save the last weights as `<key>.ckpt`.

    Args:
        folder: Where to.
        run: The training.

    Returns:
        The error on the test set, where the module and its data have one and log it; else NaN.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """
    cli = build(run.config)
    with stopped_by_user(cli.trainer):
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        if closing_test.has_test(cli.model, cli.datamodule):
            cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    path = weights_of(folder, run)
    with draft(path) as file:
        cli.trainer.save_checkpoint(file, weights_only=True)
    return float(cli.trainer.callback_metrics.get(closing_test.METRIC, float("nan")))


def weights_of(folder: Path, run: Run) -> Path:
    """Return where the weights of a training are saved."""
    return folder / f"{run.key}.ckpt"


@dataclass
class Training:
    """Trains what is not trained yet.

    Attributes:
        folder: Where weights and results are saved.
        workers: Processes; 0 for none but this.
        stream: Where it says how far it is.
        failures: What went wrong, by model.
    """

    folder: Path
    workers: int = 0
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    failures: dict[str, str] = field(default_factory=dict)

    def configs(self, sources: Mapping[str, ModelSource]) -> dict[str, Config]:
        """Train what recipes need first, and put it into their configurations.

        Args:
            sources: Name to source.

        Returns:
            The configuration of each model that has a recipe and did not fail.

        Raises:
            UsageError: A configuration cannot be read.
        """
        needed = {
            (name, key): Run(Stage.FINAL, _of(name, partial(fit_config, files)))
            for name, source in sources.items()
            for key, files in source.needs.items()
        }
        paths = self.weights({f"{name}, {key}": run for (name, key), run in needed.items()})
        configs: dict[str, Config] = {}
        for name, source in sources.items():
            if source.recipe is None:
                continue
            config = _of(name, source.config)
            for key in source.needs:
                path = paths.get(f"{name}, {key}")
                if path is None:
                    self.failures[name] = self.failures.pop(f"{name}, {key}")
                else:
                    config = with_value(config, key.split("."), str(path))
            if name not in self.failures:
                configs[name] = config
        return configs

    def weights(self, runs: Mapping[str, Run]) -> dict[str, Path]:
        """Train what is not trained yet.

        Args:
            runs: Name to training.

        Returns:
            Name to checkpoint of each that did not fail.
        """
        store = RunStore(self.folder)
        distinct = {run.key: run for run in runs.values()}
        todo = [run for run in distinct.values() if not self._done(store, run)]
        failed: dict[str, str] = {}
        if getattr(rank_zero_only, "rank", 0):
            failed = self._by_the_first(store, todo)
        elif todo:
            failed = self._train(store, todo, {run.key: name for name, run in runs.items()})
        for name, run in runs.items():
            if run.key in failed:
                self.failures[name] = f"its training failed: {failed[run.key]}"
        return {
            name: weights_of(self.folder, run)
            for name, run in runs.items()
            if run.key not in failed
        }

    def _by_the_first(self, store: RunStore, todo: Sequence[Run]) -> dict[str, str]:
        """Wait for what the first process trains, unless it had to finish before it began this."""
        if _LAUNCHERS & os.environ.keys():
            while not all(
                self._done(store, run) or store.failed_since(run, _BEGAN - _SPREAD) for run in todo
            ):
                time.sleep(0.2)
        missing = [run for run in todo if not self._done(store, run)]
        return {run.key: "the first process has not trained it." for run in missing}

    def _done(self, store: RunStore, run: Run) -> bool:
        return store.done(run) is not None and weights_of(self.folder, run).is_file()

    def _train(self, store: RunStore, todo: list[Run], names: Mapping[str, str]) -> dict[str, str]:
        progress = Progress({Stage.FINAL: len(todo)}, self.workers, self.stream)
        self.stream.write(f"training {', '.join(repr(names[run.key]) for run in todo)}\n")
        failed = {}
        measure = partial(train_and_save, self.folder)
        for run, result in run_all(todo, store, measure, self.workers):
            if result.failure is None:
                self.stream.write(f"{names[run.key]!r} trained in {duration(result.seconds)}\n")
            else:
                failed[run.key] = result.failure
            progress.add(run, result)
        progress.close()
        return failed


def _of(name: str, read: Callable[[], Config]) -> Config:
    try:
        return read()
    except UsageError as error:
        raise UsageError(f"model {name!r}: {error}") from error
