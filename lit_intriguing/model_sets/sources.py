"""Where a model of a study comes from."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lit_intriguing.configuration import class_paths
from lit_intriguing.configuration.instances import instance
from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.configuration.patches import Config, merged
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.models.weights import load_weights, read_checkpoint
from lit_intriguing.private.of_lightning import is_lightning_module
from lit_intriguing.shipped_weights import found_checkpoint
from lit_intriguing.splits.fingerprint import described
from lit_intriguing.training_runs.measure import build

WAYS = ("recipe", "model", "function", "checkpoint")


@dataclass(frozen=True)
class ModelSource:
    """A model, given in one of four ways.

    Attributes:
        recipe: Trained by these `fit` configurations, merged in their order as `lightning fit
            --config` does; trained once, unless `checkpoint` brings its weights.
        model: An object: `class_path` and `init_args` of any torch module, or of a function that
            returns one, such as `torchvision.models.resnet18`.
        function: Class path of a function that maps images to logits (N, C) itself.
        checkpoint: Weights, for `recipe` or `model`; alone, a checkpoint that names its own class.
            A file, or the name of shipped weights (see `lit_intriguing.models.pretrained`).
        overrides: Change to the recipe, a configuration.
        needs: Where in the recipe's configuration the checkpoint of another one goes, with dots,
            and that one's `fit` configurations: it is trained first.
    """

    recipe: str | list[str] | None = None
    model: dict[str, Any] | None = None
    function: str | None = None
    checkpoint: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what says nothing, or two things.

        Raises:
            UsageError: With what to do.
        """
        given = [name for name in WAYS if getattr(self, name) is not None]
        if not given:
            raise UsageError(f"it says nothing of where it comes from: one of {', '.join(WAYS)}.")
        both = [name for name in given if name != "checkpoint"]
        if len(both) > 1 or (self.function is not None and self.checkpoint is not None):
            raise UsageError(f"{' and '.join(given)} exclude each other.")
        if self.recipe is None and (self.overrides or self.needs):
            raise UsageError("overrides and needs belong to a recipe.")

    @property
    def trains(self) -> bool:
        """Whether its weights come from a training of the study's own."""
        return self.recipe is not None and self.checkpoint is None

    def config(self) -> Config:
        """Return the recipe's whole configuration.

        Raises:
            UsageError: A file is not there, or no configuration.
        """
        assert self.recipe is not None
        files = [self.recipe] if isinstance(self.recipe, str) else self.recipe
        config: Config = merged(fit_config(files), self.overrides)
        return config


class Function(nn.Module):
    """A function of images in the clothes of a module.

    Args:
        function: Maps images `(N, *S)` to logits `(N, C)`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        return self.function(x)

    def extra_repr(self) -> str:
        """Return what tells the function from others, by which results are stored.

        Its name, with a hash of what it holds where the name does not say all.
        """
        told = described(self.function)
        place = getattr(self.function, "__module__", "")
        name = f"{place}.{getattr(self.function, '__qualname__', type(self.function).__name__)}"
        if told == name:
            return name
        content = json.dumps(told, sort_keys=True).encode()
        return f"{name}, {hashlib.sha256(content).hexdigest()[:20]}"


def fit_config(files: list[str]) -> Config:
    """Merge configurations as several `--config` of `lightning fit`, with its default seed.

    Raises:
        UsageError: A file is not there, or no configuration.
    """
    return {"seed_everything": 0, **merged_files(files)}


def load_model(source: ModelSource, config: Config | None, weights: Path | None) -> nn.Module:
    """Make a model with its weights, in evaluation mode, on the CPU.

    Args:
        source: Where it comes from.
        config: The `fit` configuration of a recipe.
        weights: Checkpoint of a training of the study's own; else the source's, where it names one.

    Raises:
        UserError: No such class or file, or weights of another model.
    """
    path = weights or (None if source.checkpoint is None else found_checkpoint(source.checkpoint))
    content = None if path is None else read_checkpoint(path)
    if config is not None:
        model: nn.Module = build(config).model
    elif source.function is not None:
        class_paths.bring_in()
        model = Function(class_paths.locate(source.function))
    else:
        spec = source.model or _own_class(content or {}, path)
        model = instance(spec, nn.Module, "model")
    if is_lightning_module(model):
        model.configure_model()  # type: ignore[operator]
    if content is not None and path is not None:
        load_weights(model, content, path)
    return model.eval()


def _own_class(content: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    settings = dict(content.get("hyper_parameters") or {})
    name = settings.pop("_class_path", None)
    if name is None:
        raise UserError(
            f"{path} does not name the class of its model: give `model` with a class_path, or the "
            "`recipe` that it was trained by."
        )
    kept = {key: value for key, value in settings.items() if not key.startswith("_")}
    return {"class_path": str(name), "init_args": kept}
