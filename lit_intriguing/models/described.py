"""Checkpoints that say how their model was made, so that it can be made again from the file."""

import functools
import inspect
import sys
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import lightning
from lightning.pytorch import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

import lit_intriguing
from lit_intriguing.errors import UserError
from lit_intriguing.lookup import NotThereError, look_up
from lit_intriguing.private.of_lightning import HOOK_NOTE, made_by_command_line

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

    A subclass calls `remember` in its constructor. What has no name that could be saved, such as a
    lambda, is said when the part is needed after loading.
    """

    only_at_start: tuple[str, ...] = ()
    """Parameters that mean nothing once there are weights."""

    def __init_subclass__(cls) -> None:
        """Note the signature of the training step, which Lightning asks for in each step."""
        super().__init_subclass__()
        step = vars(cls).get("training_step")
        if inspect.isfunction(step) and not hasattr(step, "__wrapped__"):
            step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; at once where it is Lightning's note of the hook that it calls.

        It makes 50 of them a step. A module looks for parameters first, which takes thirty times as
        long.
        """
        if name == HOOK_NOTE:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def remember(self, **modules: nn.Module) -> None:
        """Note the parameters of the constructor that calls this, before it changes them.

        Args:
            modules: Those that are modules; how these were made is noted, they are not copied.
        """
        frame = inspect.currentframe()
        by_program = made_by_command_line()  # which has them as they were configured
        ignored = [] if by_program else list(modules)
        self.save_hyperparameters(
            ignore=ignored, frame=None if frame is None else frame.f_back, logger=False
        )
        if not by_program:
            hints = typing.get_type_hints(type(self).__init__)
            given = {**self.hparams, **modules}
            self.hparams.update({name: plain(one, hints.get(name)) for name, one in given.items()})

    @property
    def init_args(self) -> dict[str, Any]:
        """The parameters that the module was made with, as plain values."""
        hidden = self.only_at_start
        return {
            name: one
            for name, one in self.hparams.items()
            if not name.startswith("_") and name not in hidden
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write how the model was made, our version, and the format's number."""
        checkpoint[KEY] = {"version": lit_intriguing.__version__, "format": FORMAT}
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = {
            "_class_path": self.hparams.get("_class_path") or path_of(type(self)) or "",
            "_instantiator": _INSTANTIATOR,
            **self.init_args,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of a later version whose format this one does not know.

        Raises:
            UserError: It is one.
        """
        check_format(checkpoint)


def checkpoint_of(module: Described) -> dict[str, Any]:
    """Return what a checkpoint of a module alone holds: how to make it, its weights, versions."""
    content = {
        "state_dict": module.state_dict(),
        module.CHECKPOINT_HYPER_PARAMS_KEY: dict(module.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    module.on_save_checkpoint(content)
    return content


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


def plain(value: Any, hint: Any = None) -> Any:
    """Return a value as a checkpoint and a configuration can hold it.

    Args:
        value: Plain; or a class, a function, a `functools.partial` of a class, or a module with
            `init_args`.
        hint: The type of the parameter that it is for.

    Returns:
        The same; class paths for classes and functions, with `init_args` where there are some; the
        path of what raises an error in the place of what has no name.

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
    target, settings = _made_of(value)
    path = None if target is None else path_of(target)
    if path is None:
        return _stand_in(hint)
    return {"class_path": path, "init_args": plain(settings)} if settings else path


def _made_of(value: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return a class or function and the arguments that it gets; no class where it is not known."""
    if isinstance(value, functools.partial):
        if not inspect.isclass(value.func):
            return None, {}
        bound = inspect.signature(value.func).bind_partial(*value.args, **value.keywords)
        return value.func, bound.arguments
    if isinstance(value, nn.Module):
        settings = getattr(value, "init_args", None)
        return (None, {}) if settings is None else (type(value), settings)
    return value, {}


def path_of(target: Any) -> str | None:
    """Return the class path of a class or function; None where it has none."""
    name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
    try:
        found = look_up(name) if target.__module__ in sys.modules else None
    except (NotThereError, ImportError, AttributeError):
        found = None
    return name if found is target else None


def not_saved(*args: Any, **kwargs: Any) -> Any:
    """Stand for a function that has no name which a checkpoint could hold.

    Raises:
        UserError: Always.
    """
    raise UserError(
        "the checkpoint does not hold a part of its model, which had no name (a lambda, a module "
        "made by hand): give it, as load_from_checkpoint(FILE, optimizer=...), or as activation, "
        "network, ..."
    )


class NotSavedModule(nn.Module):
    """Stands for a module."""

    def __init__(self) -> None:
        not_saved()


class NotSavedOptimizer(Optimizer):
    """Stands for an optimiser."""

    def __init__(self, params: Any) -> None:
        not_saved()


class NotSavedScheduler(LRScheduler):
    """Stands for a schedule."""

    def __init__(self, optimizer: Optimizer) -> None:
        not_saved()


_STAND_INS = {
    Optimizer: NotSavedOptimizer,
    LRScheduler: NotSavedScheduler,
    nn.Module: NotSavedModule,
}


def _stand_in(hint: Any) -> str:
    """Return the path of what stands for a value of a type and raises `not_saved`."""
    for one in (hint, *typing.get_args(hint)):
        arguments = typing.get_args(one)
        made = arguments[-1] if arguments else one
        for kind in (made, *typing.get_args(made)):
            for base, stand_in in _STAND_INS.items():
                if inspect.isclass(kind) and issubclass(kind, base):
                    return f"{__name__}.{stand_in.__name__}"
    return f"{__name__}.{not_saved.__name__}"


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
