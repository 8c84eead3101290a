"""What a forward pass may read and change besides tensors and modules, and how it is put back."""

import pickle
import random
from collections.abc import Callable
from copy import copy, deepcopy
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

_NO_CACHE = (type, FunctionType, MethodType, ModuleType, nn.Module, Tensor)
_OF_LIBRARIES = ("torch", "lightning", "pytorch_lightning")


class Surroundings:
    """The random numbers of Python and NumPy, and the attributes of objects that modules hold.

    Args:
        model: The generators that its modules hold as attributes count, and of other objects there
            the attributes; not what these hold in turn, but for lists, dictionaries and sets.
    """

    def __init__(self, model: nn.Module) -> None:
        held = {id(one): one for module in model.modules() for one in vars(module).values()}
        self._generators = [*_GLOBAL, *filter(None, map(_generator, held.values()))]
        self._states = [deepcopy(get()) for get, _ in self._generators]
        self._objects = [(one, _contents(one)) for one in held.values() if _is_plain(one)]

    @property
    def drawn(self) -> bool:
        """Whether random numbers were drawn since."""
        states = (get() for get, _ in self._generators)
        pairs = zip(states, self._states, strict=True)
        return any(pickle.dumps(now) != pickle.dumps(before) for now, before in pairs)

    def restore(self) -> None:
        """Put back what is another now."""
        if self.drawn:
            for (_, put), state in zip(self._generators, self._states, strict=True):
                put(deepcopy(state))
        for one, contents in self._objects:
            _put_back(one, contents)


State = tuple[Callable[[], Any], Callable[[Any], Any]]
"""Gets the state of a generator, and sets it."""

_GLOBAL: list[State] = [
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
]


def _generator(value: Any) -> State | None:
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return value.getstate, value.setstate
    if isinstance(value, np.random.RandomState):
        return value.get_state, value.set_state
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    return None


def _is_plain(value: Any) -> bool:
    """Whether a value is an object of the model's author that may serve as a cache."""
    library = str(type(value).__module__).partition(".")[0] in _OF_LIBRARIES
    return hasattr(value, "__dict__") and not library and not isinstance(value, _NO_CACHE)


def _contents(value: Any) -> dict[str, tuple[Any, Any]]:
    """The attributes, each with a copy of what it holds if it is a container."""
    return {name: (one, _copied(one)) for name, one in vars(value).items()}


def _copied(value: Any) -> Any:
    return copy(value) if isinstance(value, list | dict | set) else None


def _put_back(value: Any, contents: dict[str, tuple[Any, Any]]) -> None:
    attributes = vars(value)
    for name in attributes.keys() - contents:
        del attributes[name]
    for name, (one, before) in contents.items():
        if attributes.get(name) is not one:
            attributes[name] = one
        if _items(one) == _items(before):
            continue
        if isinstance(one, list):
            one[:] = before
        else:
            one.clear()
            one.update(before)


def _items(container: Any) -> list[Any]:
    """What is in it, by identity: tensors do not compare."""
    if isinstance(container, dict):
        return [(id(key), id(one)) for key, one in container.items()]
    return list(map(id, container)) if isinstance(container, list | set) else []
