"""Checkpoints that say how their model was made, so that it can be made again from the file."""

import functools
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

import lit_intriguing
from lit_intriguing.errors import UserError
from lit_intriguing.lookup import NotThereError, look_up

KEY = "lit_intriguing"
"""Where a checkpoint of ours says which version wrote it."""
FORMAT = 1
"""Of these checkpoints; it goes up where an older version would misread a newer one."""
_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
_BEFORE = (
    "The checkpoint was written before they said how their model was made: give that, as "
    "load_from_checkpoint(FILE, ...)"
)


class Described(LightningModule):
    """A module whose checkpoints hold its parameters, with class paths in the place of classes.

    A subclass calls `save_hyperparameters(logger=False)` in its constructor. What has no name that
    could be saved, such as a lambda, is said when the part is needed after loading.
    """

    only_at_start: tuple[str, ...] = ()
    """Parameters that mean nothing once there are weights."""

    @property
    def init_args(self) -> dict[str, Any]:
        """The parameters that the module was made with, as far as they are known."""
        return {name: one for name, one in self.hparams.items() if not name.startswith("_")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write how the model was made, our version, and the format's number."""
        checkpoint[KEY] = {"version": lit_intriguing.__version__, "format": FORMAT}
        given = dict(checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY) or {})
        given = {name: value for name, value in given.items() if name not in self.only_at_start}
        if "_instantiator" not in given:  # else the command line has put in what was configured
            names = inspect.signature(type(self).__init__).parameters
            found = {name: given.get(name, getattr(self, name, None)) for name in names}
            given = {
                "_class_path": _path_of(type(self)),
                "_instantiator": _INSTANTIATOR,
                **{
                    name: plain(value)
                    for name, value in found.items()
                    if name != "self" and name not in self.only_at_start
                },
            }
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = given

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of a later version whose format this one does not know.

        Raises:
            UserError: It is one.
        """
        check_format(checkpoint)


def check_format(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint in a later format.

    Raises:
        UserError: It is one.
    """
    written = checkpoint.get(KEY) or {}
    if written.get("format", FORMAT) > FORMAT:
        raise UserError(
            f"the checkpoint has format {written['format']}, of lit-intriguing "
            f"{written.get('version')}; this version, {lit_intriguing.__version__}, knows formats "
            f"up to {FORMAT}: install a later one."
        )


def way_out(checkpoint: Mapping[str, Any], words: str) -> str:
    """Return what to do where a model does not fit its checkpoint.

    Args:
        checkpoint: Its content.
        words: What to give the model.
    """
    return words if KEY in checkpoint else f"{words}. {_BEFORE}"


def plain(value: Any) -> Any:
    """Return a value as a checkpoint and a configuration can hold it.

    Args:
        value: Plain; or a class, a function, a `functools.partial` of a class, or a module with
            `init_args`.

    Returns:
        The same; class paths for classes and functions, with `init_args` where there are some; the
        path of `not_saved` for what has no name.

    >>> plain(nn.Sigmoid), plain((1, 2))
    ('torch.nn.modules.activation.Sigmoid', [1, 2])
    >>> plain(functools.partial(nn.LeakyReLU, 0.2))
    {'class_path': 'torch.nn.modules.activation.LeakyReLU', 'init_args': {'negative_slope': 0.2}}
    >>> plain(lambda: None)
    'lit_intriguing.models.described.not_saved'
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, functools.partial) and inspect.isclass(value.func):
        bound = inspect.signature(value.func).bind_partial(*value.args, **value.keywords)
        return {"class_path": _path_of(value.func), "init_args": plain(bound.arguments)}
    if isinstance(value, nn.Module):
        settings = getattr(value, "init_args", None)
        path = _path_of(NotSaved if settings is None else type(value))
        return {"class_path": path, "init_args": plain(settings or {})}
    return _path_of(value)


def not_saved(*args: Any, **kwargs: Any) -> Any:
    """Stand for a function that has no name which a checkpoint could hold.

    Raises:
        UserError: Always.
    """
    raise UserError(
        "the checkpoint does not hold a part of its model, which was a function without a name "
        "(an activation, an optimiser, ...): give it, as load_from_checkpoint(FILE, "
        "optimizer=...), or write it as a named class or functools.partial of one."
    )


class NotSaved(nn.Module):
    """Stands for a module of which a checkpoint does not say how it was made."""

    def __init__(self) -> None:
        super().__init__()
        raise UserError(
            "the checkpoint does not hold how its network was made: give it, as "
            "load_from_checkpoint(FILE, network=...)."
        )


def _path_of(target: Any) -> str:
    """Return the class path of a class or function; that of `not_saved` where it has none."""
    name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
    try:
        found = look_up(name) if target.__module__ in sys.modules else None
    except (NotThereError, ImportError, AttributeError):
        found = None
    return name if found is target else f"{__name__}.not_saved"


def shapes_that_differ(
    module: nn.Module, state: Mapping[str, Any], names: Iterable[str]
) -> list[str]:
    """Return which weights have another shape in a state dict than in a module, in words."""
    own = module.state_dict()
    return [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in names
        if name in state and state[name].shape != own[name].shape
    ]
