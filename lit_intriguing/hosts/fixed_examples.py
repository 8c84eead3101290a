"""A fixed few examples of a run's data, read without a change to the order of its batches."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_intriguing.autograd import ordinary, preserved
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.hosts.batch import BatchKeys
from lit_intriguing.hosts.dataset_access import example_order, loader_over
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.isolation import own_randomness
from lit_intriguing.private.of_lightning import (
    before_batch_transfer,
    loaders_of,
    same_class_for,
    validation_loop,
)

_HALF = (torch.float16, torch.bfloat16)

FixedExamples = tuple[Tensor, Tensor]
"""Inputs `(N, *S)` and labels `(N,)`."""

Classes = Callable[[Tensor], int | None]
"""Maps inputs `(N, *S)` to the number of classes of a network; None if it is not known."""


@dataclass(frozen=True)
class Wanted:
    """What examples a callback wants.

    Attributes:
        who: The callback, for messages.
        count: How many examples.
        keys: Where inputs and labels are.
        note: Is told where they were found.
        classes: Tells which labels are classes; None if all are that are not negative.
    """

    who: str
    count: int
    keys: BatchKeys = field(default_factory=BatchKeys)
    note: Callable[[BatchKeys], None] | None = None
    classes: Classes | None = None


def validates(trainer: Trainer) -> bool:
    """Return whether the run has a validation loader that is set up."""
    return trainer.enable_validation and bool(loaders_of(validation_loop(trainer)))


def readable(trainer: Trainer, training: bool = False) -> bool:
    """Return whether single examples can be read at random; those of a stream cannot.

    Args:
        trainer: In the middle of a fit.
        training: Whether those of the training data are meant where there is validation data.
    """
    return example_order(_loader(trainer, training)) is not None


def read_batch(
    trainer: Trainer, pl_module: LightningModule, count: int, seed: int, training: bool = False
) -> Any:
    """Read examples of the validation data, or of the training data if there is none.

    The run's own loaders and samplers are not used: another loader reads the examples from the same
    data set, in a worker process if the run does so. The batch goes through the hooks and to the
    device as in the run. All ranks read the same examples.

    Args:
        trainer: In the middle of a fit, its data set up; see `readable`.
        pl_module: The module.
        count: Examples in the batch, or as many as there are. Those of a smaller batch are the
            first ones of a larger one.
        seed: Seed of the choice, and of random transforms in the data set.
        training: Whether to read the training data where there is validation data.

    Returns:
        The batch.
    """
    as_in_validation = validates(trainer) and not training
    return read_from(trainer, pl_module, _loader(trainer, training), count, seed, as_in_validation)


def read_from(
    trainer: Trainer,
    pl_module: LightningModule,
    loader: Any,
    count: int,
    seed: int,
    as_in_validation: bool = False,
) -> Any:
    """Read examples of a loader's data set as `read_batch` does.

    Args:
        trainer: In the middle of a fit or a test, its data set up.
        pl_module: The module.
        loader: One of the run's; `example_order` knows its examples.
        count: Examples in the batch, or as many as there are.
        seed: Seed of the choice, and of random transforms in the data set.
        as_in_validation: Whether hooks of the batch's way to the device are told so, in a fit.
    """
    order = example_order(loader)
    assert order is not None
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(order), generator=generator)[:count].tolist()
    with own_randomness(seed):
        batch = _read(loader, [order[place] for place in chosen], generator)
        return on_device(trainer, pl_module, batch, as_in_validation)


def pick(batch: Any, wanted: Wanted) -> FixedExamples:
    """Return examples of a batch, balanced over the classes, sorted by label.

    Those whose label is no class, since the loss ignores it (-1, 255), are left out, with a
    warning. None may be left.

    Raises:
        BatchError: If its inputs and labels cannot be found.
    """
    keys = wanted.keys.resolve(batch)
    if wanted.note is not None:
        wanted.note(keys)
    inputs, labels = keys.read(batch)
    inputs, labels = ordinary(inputs), ordinary(labels).long()
    known = _with_a_class(inputs, labels, wanted)
    indices = known[balanced(labels[known], wanted.count)]
    indices = indices[labels[indices].argsort(stable=True)]
    chosen = inputs[indices].clone()
    # An attack needs finer steps than half precision has; the model rounds them again.
    return chosen.float() if chosen.dtype in _HALF else chosen, labels[indices].clone()


def _with_a_class(inputs: Tensor, labels: Tensor, wanted: Wanted) -> Tensor:
    """Return the indices of the examples whose label is a class; warn of the others."""
    ask = wanted.classes if len(labels) else None
    there = is_class(labels, None if ask is None else ask(inputs[:2]))
    others = labels[~there].unique().tolist()  # type: ignore[no-untyped-call]
    if others and there.any():
        listed = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        rank_zero_warn(
            f"{wanted.who} leaves out {int((~there).sum())} of the {len(labels)} examples from "
            f"which it chooses: their labels ({listed}) are no class."
        )
    return there.nonzero().squeeze(1)


def is_class(labels: Tensor, classes: int | None) -> Tensor:
    """Return of each label whether it is a class and none that a loss ignores, such as -1 or 255.

    Args:
        labels: Integers `(N,)`.
        classes: How many there are; None if that is not known.

    >>> is_class(torch.tensor([0, 9, 255, -1]), 10).tolist()
    [True, True, False, False]
    """
    return (labels >= 0) & (labels < (math.inf if classes is None else classes))


def balanced(labels: Tensor, count: int) -> Tensor:
    """Return indices of up to `count` examples: the first of each class, then the second, etc.

    Args:
        labels: Integers `(N,)`.
        count: How many examples.

    Returns:
        Integers `(M,)`, M at most `count`.

    >>> balanced(torch.tensor([7, 7, 7, 3, 7, 3]), 4).tolist()
    [0, 3, 1, 5]
    """
    order = labels.argsort(stable=True)
    sizes = labels[order].unique_consecutive(return_counts=True)[1]  # type: ignore[no-untyped-call]
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    earlier = torch.empty_like(order)  # examples of the same class before each
    earlier[order] = torch.arange(len(labels), device=labels.device) - starts
    return earlier.argsort(stable=True)[:count]


def from_rank_zero(
    trainer: Trainer, examples: FixedExamples | HostRows | None
) -> FixedExamples | HostRows | None:
    """Return the examples that the first process saw; every process must call it."""
    if trainer.world_size == 1:
        return examples
    # A pickled tensor comes back on the device it was on.
    if isinstance(examples, HostRows):
        return trainer.strategy.broadcast(examples.to(torch.device("cpu")))
    own = None if examples is None else tuple(tensor.cpu() for tensor in examples)
    return trainer.strategy.broadcast(own)  # type: ignore[return-value]


def _loader(trainer: Trainer, training: bool = False) -> Any:
    validation = validates(trainer) and not training
    loaders = loaders_of(validation_loop(trainer)) if validation else []
    return (loaders or loaders_of(trainer.fit_loop))[0]


def _read(loader: Any, indices: list[int], generator: torch.Generator) -> Any:
    if isinstance(loader, TensorLoader):
        return loader.inputs[indices], loader.labels[indices]
    # In a worker if the run has some: a data set may open its file at the first example, and the
    # run's workers would inherit what this process opened.
    own = loader_over(loader, indices, batch_size=len(indices), most_workers=1, generator=generator)
    return next(iter(own))


def on_device(
    trainer: Trainer, pl_module: LightningModule, batch: Any, as_in_validation: bool
) -> Any:
    """Do to a batch what Lightning does before a step of training or of validation."""
    stage = trainer.state.stage
    if as_in_validation:
        # Hooks may ask, and augment in training only.
        trainer.state.stage = same_class_for(trainer, RunningStage).VALIDATING
    try:
        with torch.no_grad(), preserved(pl_module):
            batch = trainer.precision_plugin.convert_input(batch)
            batch = before_batch_transfer(pl_module, batch)
            return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    finally:
        trainer.state.stage = stage
