"""What a configuration's Trainer gets is built with random numbers of its own.

The parser builds callbacks and loggers before the model. What they draw (the first weights of a
reference network, say) would otherwise move the random numbers that the model's weights come from.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from jsonargparse import Namespace

from lit_intriguing.isolation import own_randomness

TRAINER = "trainer"


def build_separately(
    namespace: Namespace, instantiate: Callable[[Namespace], Namespace]
) -> dict[str, Any]:
    """Build the objects that the Trainer is to get, and take them out of the configuration.

    Each has a seed made of the run's, its class, and how many of this class stand before it, so
    that it is the same whatever else is configured.

    Args:
        namespace: Of a subcommand, as parsed; changed in place: without these objects.
        instantiate: Builds what a part of such a namespace describes.

    Returns:
        Key below `trainer` to the object, or to the list of objects.
    """
    options = namespace.get(TRAINER)
    if not isinstance(options, Namespace):
        return {}
    before: Counter[str] = Counter()

    def built(key: str, value: Any) -> Any:
        if not _is_object(value):
            return value
        place = f"{key} {value.class_path}"
        before[place] += 1
        with own_randomness(_seed(place, before[place])):
            part = Namespace()  # type: ignore[no-untyped-call]
            part[f"{TRAINER}.{key}"] = value
            return instantiate(part)[f"{TRAINER}.{key}"]

    objects = {}
    for key, value in list(vars(options).items()):
        if isinstance(value, list) and any(map(_is_object, value)):
            objects[key] = [built(key, one) for one in value]
        elif _is_object(value):
            objects[key] = built(key, value)
    for key in objects:
        options.pop(key)
    return objects


def _is_object(value: Any) -> bool:
    return isinstance(value, Namespace) and "class_path" in value


def _seed(place: str, number: int) -> int:
    text = f"{torch.initial_seed()} {place} {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
