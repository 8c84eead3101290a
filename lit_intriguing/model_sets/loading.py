"""What every study of several models begins with: its options, its models, its Trainer."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import InterruptedRunError, UsageError, UserError
from lit_intriguing.model_sets.sources import Function, ModelSource, load_model
from lit_intriguing.model_sets.training import Training
from lit_intriguing.training_runs.measure import silence
from lit_intriguing.training_runs.store import Run, Stage
from lit_intriguing.whole_files import check_folder

QUIET = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}

Source = ModelSource | nn.Module | Callable[[Tensor], Tensor]
"""Where a model comes from; in Python also the model itself."""


def check_options(
    models: Mapping[str, Source], out_dir: str, limit: int | None, confidence: float, workers: int
) -> None:
    """Refuse what is no study.

    Args:
        models: Name to source.
        out_dir: The study's folder.
        limit: Of images.
        confidence: Of the intervals.
        workers: Processes that train.

    Raises:
        UsageError: With what to do.
    """
    if not models:
        raise UsageError("the study has no models: give at least one under `models`.")
    for name, source in models.items():
        if isinstance(source, ModelSource):
            try:
                source.check()
            except UsageError as error:
                raise UsageError(f"model {name!r}: {error}") from error
    check_folder(Path(out_dir))
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence lies between 0 and 1, not {confidence}.")
    if workers < 0:
        raise UsageError(f"workers must be 0 or more, not {workers}.")


def quiet_trainer(options: Mapping[str, Any]) -> Trainer:
    """Return a Trainer that leaves no files.

    Args:
        options: Of Lightning's.

    Raises:
        UsageError: It does not take them.
    """
    try:
        return Trainer(**(QUIET | dict(options)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"trainer: {one_line(str(error))}") from error


def load_models(
    sources: Mapping[str, Source], out_dir: str, models_dir: str | None, workers: int
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Train what is to be trained and is not there, and load all.

    Args:
        sources: Name to source.
        out_dir: The study's folder.
        models_dir: Where trained models are saved; None for `models` in `out_dir`.
        workers: Processes that train models; 0 for none but this.

    Returns:
        The models that could be loaded, and why the others could not, by name.

    Raises:
        InterruptedRunError: The user stopped a training.
        UserError: None could be loaded.
    """
    training = Training(Path(models_dir or f"{out_dir}/models"), workers)
    try:
        models, failures = _loaded(sources, training)
    except KeyboardInterrupt as error:
        text = f"interrupted. {saved_in(out_dir)}."
        raise InterruptedRunError(text) from error
    if not models:
        reasons = "\n  ".join(f"{name!r}: {reason}" for name, reason in failures.items())
        raise UserError(f"none of the models could be loaded:\n  {reasons}")
    return models, failures


def saved_in(out_dir: str) -> str:
    """Return what to say where the user stops a study."""
    return f"What is done is saved in {out_dir}: the same command goes on from there"


def _loaded(
    sources: Mapping[str, Source], training: Training
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    given = {name: source for name, source in sources.items() if isinstance(source, ModelSource)}
    configs = training.configs(given)
    runs = {
        name: Run(Stage.FINAL, config) for name, config in configs.items() if given[name].trains
    }
    weights = training.weights(runs)
    failures = dict(training.failures)
    models: dict[str, nn.Module] = {}
    for name, source in sources.items():
        if name in failures:
            continue
        try:
            with silence(io.StringIO()), isolate_rng():
                models[name] = _one(source, configs.get(name), weights.get(name))
        except (Exception, SystemExit) as error:
            failures[name] = one_line(str(error)) or type(error).__name__
    return models, failures


def _one(source: Source, config: Config | None, weights: Path | None) -> nn.Module:
    if isinstance(source, ModelSource):
        return load_model(source, config, weights)
    return source if isinstance(source, nn.Module) else Function(source)
