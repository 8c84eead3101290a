"""Isolation of code that is not ours: random numbers of its own, modes and gradients restored."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed the global random states of torch (CPU and CUDA), numpy and Python; restore them.

    Args:
        seed: At least 0, less than 2^32, as numpy asks.
    """
    before = random.getstate(), np.random.get_state(), torch.initial_seed()
    # Named one by one, as fork_rng warns where it would have to take several by itself.
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = list(range(torch.cuda.device_count())) if started else []
    with torch.random.fork_rng(devices=cuda):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            if not started and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                torch.cuda.manual_seed_all(before[2])  # as they would have started without this


@contextmanager
def chunk_randomness(seed: int, index: int) -> Iterator[torch.Generator]:
    """Seed everything for one chunk, and give the global generators their state back.

    Our attacks draw from the generator only; those of other libraries from the global ones.

    Args:
        seed: Seed of the whole attack.
        index: Number of the chunk.

    Yields:
        The chunk's generator, on the CPU.
    """
    state = int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0]) >> 1
    with own_randomness(state % 2**32):
        yield torch.Generator().manual_seed(state)


def random_states() -> tuple[object, ...]:
    """Return the states of the global generators, to be compared with later ones."""
    kind, keys, *rest = np.random.get_state()
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    tensors = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if started else [])]
    own = tuple(one.numpy().tobytes() for one in tensors)
    return (*own, random.getstate(), kind, np.asarray(keys).tobytes(), *rest)


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """Give torch's CPU generator and Python's their states back, for code that draws nothing.

    A twentieth of the cost of `own_randomness`, most of which is NumPy's state.
    """
    before, of_python = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before)
        random.setstate(of_python)


@contextmanager
def untouched(model: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Restore modes, `requires_grad` and `.grad` of the modules that `model` is made of.

    A library can change them only if it reaches them in another way than by its argument. Weights
    and buffers are not copied.
    """
    modules = {m: m.training for behind in _modules_behind(model) for m in behind.modules()}
    parameters = {p: (p.requires_grad, p.grad) for m in modules for p in m.parameters(False)}
    for parameter in parameters:
        parameter.grad = None  # so that nothing is added to the caller's
    grad_enabled = torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_grad_enabled(grad_enabled)
        for module, training in modules.items():
            module.training = training
        for parameter, (requires_grad, gradient) in parameters.items():
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def _modules_behind(model: Callable[[Tensor], Tensor]) -> list[nn.Module]:
    """Return `model`, or the modules that a function, a method or an object refers to."""
    if isinstance(model, nn.Module):
        return [model]
    cells = getattr(model, "__closure__", None) or ()
    held = [
        getattr(model, "__self__", None),
        *getattr(model, "__dict__", {}).values(),
        *(_content(cell) for cell in cells),
    ]
    return [thing for thing in held if isinstance(thing, nn.Module)]


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
