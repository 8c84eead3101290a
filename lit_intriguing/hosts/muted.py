"""A host's code run aside: it computes as always, and tells nobody."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lit_intriguing.private.of_lightning import is_lightning_module, trainer_or_none

_TELLING = ("log", "log_dict", "print")
"""The methods of a LightningModule by which it reports."""

_LOGGING = ("logger", "loggers", "log_dir", "progress_bar_callback", "profiler")

_PLAIN = (bool, int, float, str, bytes, Path, Enum, torch.dtype, torch.device)


@contextmanager
def muted(module: nn.Module) -> Iterator[None]:
    """Let a module's code run without effects outside it.

    Inside, `self.log`, `self.log_dict` and `self.print` do nothing, in the module and in each
    LightningModule in it. Of `self.trainer` the state can be read; what is called, set or put into
    its mappings and lists changes nothing; loggers and what they give take anything and do nothing.

    Args:
        module: Any module; one without a LightningModule in it stays as it is.
    """
    with ExitStack() as stack:
        for each in [one for one in module.modules() if is_lightning_module(one)]:
            stack.enter_context(_mute(each))
        yield


@contextmanager
def _mute(module: nn.Module) -> Iterator[None]:
    attributes = vars(module)
    before = {name: attributes[name] for name in _TELLING if name in attributes}
    trainer: Any = trainer_or_none(module)  # type: ignore[arg-type]
    attributes.update(dict.fromkeys(_TELLING, _nothing))
    if trainer is not None:
        module.trainer = _ReadOnly(trainer)  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in _TELLING:
            attributes.pop(name, None)
        attributes.update(before)
        if trainer is not None:
            module.trainer = trainer


class _ReadOnly:
    """What a Trainer says of itself. What is set stays here."""

    def __init__(self, trainer: Any) -> None:
        self.__dict__["_of"] = trainer

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return type(self.__dict__["_of"])

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_of"], name)
        if name == "loggers":
            return [Silent(one) for one in value]
        if name in _LOGGING:
            return value if value is None or isinstance(value, _PLAIN) else Silent(value)
        if isinstance(value, dict):
            return dict(value)
        if isinstance(value, list):
            return list(value)
        return _nothing if _is_method(value, self.__dict__["_of"]) else value


class Silent:
    """Takes any call and does nothing; of an object, says what plain values it has.

    Args:
        of: What it stands for, if anything.
    """

    def __init__(self, of: Any = None) -> None:
        self.__dict__["_of"] = of

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        of = self.__dict__["_of"]
        return Silent if of is None else type(of)

    def __getattr__(self, name: str) -> Any:
        # An experiment is made when it is first asked for.
        value = None if name == "experiment" else getattr(self.__dict__["_of"], name, None)
        return value if isinstance(value, _PLAIN) else Silent()

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do nothing."""
        return Silent()

    def __getitem__(self, key: Any) -> Any:
        return Silent()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def _is_method(value: Callable[..., Any], of: Any) -> bool:
    return getattr(value, "__self__", None) is of
