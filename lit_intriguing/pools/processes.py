"""Pools that all processes share: where the rows of the global batch are, and what all agree on.

A pool that is the same on every process must get the same rows in the same order, whoever made
them. So everything here is counted in the global batch: the batch that one process would have in
the place of several.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from lit_intriguing.attacks import Criterion, Goal
from lit_intriguing.errors import UserError
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.gathering import gathered, one_shape
from lit_intriguing.private.of_lightning import loaders_of


@dataclass(frozen=True)
class Shares:
    """By what the mean losses of this process are multiplied.

    It is the number of processes times this one's part of the rows: the mean over the processes is
    then the mean over all rows.

    Attributes:
        clean: Of the clean rows.
        layers: Of each layer's examples; 1 where it is missing.
    """

    clean: float = 1.0
    layers: Mapping[str, float] = field(default_factory=dict)

    def of(self, layer: str) -> float:
        """Return the factor of a layer's mean loss."""
        return self.layers.get(layer, 1.0)


class OneProcess:
    """A process whose pools are its own.

    Attributes:
        size: How many processes share the pools.
        rank: The number of this one among them.
    """

    size = 1
    rank = 0

    @property
    def part(self) -> slice:
        """Which of the examples that were drawn join here."""
        return slice(self.rank, None, self.size)

    def begin(self, entries: Mapping[str, Any]) -> None:
        """Begin a step. Every process must call it.

        Args:
            entries: What the rows of this process's batch have, by name.
        """

    def first(self, count: int, here: int) -> FirstRows:
        """Return where the first rows of the global batch are, of which examples are made.

        Args:
            count: How many rows, if the batch has as many.
            here: Rows of this process's batch.
        """
        return FirstRows(min(count, here))

    def shares(self, drawn: Mapping[str, int]) -> Shares:
        """Return the shares of a step.

        Args:
            drawn: How many examples were drawn for each layer, over all processes.
        """
        return Shares()


class AllProcesses(OneProcess):
    """All processes of a run, which share their pools.

    Args:
        trainer: The run's.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.size, self.rank = trainer.world_size, trainer.global_rank
        self._trainer = trainer
        self._counts: list[int] = []
        self._in_turn: bool | None = None
        self._first: dict[int, FirstRows] = {}

    def begin(self, entries: Mapping[str, Any]) -> None:
        """Tell all processes how many rows this one has.

        Raises:
            UserError: On every process, if the rows cannot be gathered.
        """
        if self._in_turn is None:
            self._in_turn = deals_rows_in_turn(self._trainer)
        shapes = one_shape(entries)
        count = len(next(iter(entries.values())))
        own = torch.tensor(
            [count, -1 if shapes is None else zlib.crc32(shapes.encode())],
            device=self._trainer.strategy.root_device,
        )
        every = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(every, own)
        counts, kinds = zip(*(one.tolist() for one in every), strict=True)
        if -1 in kinds or len(set(kinds)) > 1:
            raise UserError(not_one_shape())
        if list(counts) != self._counts:
            self._counts, self._first = list(counts), {}

    def first(self, count: int, here: int) -> FirstRows:
        """Return where the first rows of the global batch are; see `OneProcess.first`."""
        count = min(count, sum(self._counts))
        if count not in self._first:
            order = global_order(self._counts, bool(self._in_turn))[:count]
            self._first[count] = RowsOfAll(order, self.rank, self.size)
        return self._first[count]

    def shares(self, drawn: Mapping[str, int]) -> Shares:
        """Return the shares of a step; see `OneProcess.shares`."""
        here = {name: len(range(count)[self.part]) for name, count in drawn.items()}
        return Shares(
            self.size * self._counts[self.rank] / sum(self._counts),
            {name: self.size * here[name] / count for name, count in drawn.items()},
        )


class RowsOfAll(FirstRows):
    """The first rows of a global batch, on several processes.

    A process that has none of them makes an example of its first row, as a network that
    synchronises in its forward pass waits for all; that one is not stored.

    Args:
        order: The process and the place there of each row.
        rank: Of this process.
        size: How many processes there are.
    """

    def __init__(self, order: Sequence[tuple[int, int]], rank: int, size: int) -> None:
        self.places = torch.tensor([k for k, (one, _) in enumerate(order) if one == rank])
        self.own = len(self.places)
        super().__init__(max(1, self.own))
        self.total = len(order)
        self.rank, self._order, self._size = rank, order, size

    def criterion(
        self, goal: Goal, labels: Tensor, logits: Tensor, generator: torch.Generator
    ) -> Criterion:
        """Return the criterion that one process would have; see `FirstRows.criterion`."""
        whole = self.gather({"labels": labels, "logits": logits})
        criterion = goal(whole["labels"], whole["logits"], generator)
        if self.own:
            return criterion.select(self.places)
        return goal(labels, logits, torch.Generator().manual_seed(0))

    def spread(self, x: Tensor) -> Tensor | None:
        """Return the spread over the rows of all processes; see `FirstRows.spread`."""
        own = x[: len(x) * self.own // self.here].double()
        sums = torch.cat(
            [own.sum(0).flatten(), own.square().sum().reshape(1), own.new_tensor([len(own)])]
        )
        dist.all_reduce(sums)
        count = int(sums[-1])
        if count < 2:
            return None
        # In double precision the difference holds what single precision would lose.
        squares = sums[-2] - sums[:-2].square().sum() / count
        return (squares.clamp(min=0) / (count - 1)).sqrt().to(x.dtype)

    def generator(self, shared: torch.Generator) -> torch.Generator:
        """Return a generator for this process's attack, which leaves the shared one as it is."""
        ahead = torch.Generator()
        ahead.set_state(shared.get_state())
        seed = int(torch.randint(2**31, (), generator=ahead))
        return torch.Generator().manual_seed(seed + self.rank)

    def gather(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows of all processes; see `FirstRows.gather`."""
        own = {name: one[: self.own] for name, one in entries.items()}
        return gathered(own, self._order, self.rank, self._size)


def global_order(counts: Sequence[int], in_turn: bool) -> list[tuple[int, int]]:
    """Return the process of each row of the global batch and its place there.

    Args:
        counts: Rows on each process.
        in_turn: Whether the rows were dealt one to each process in turn; else each process has the
            rows behind those of the process before it.

    >>> global_order([2, 2], in_turn=True), global_order([2, 1], in_turn=False)
    ([(0, 0), (1, 0), (0, 1), (1, 1)], [(0, 0), (0, 1), (1, 0)])
    """
    rows = [(process, place) for process, count in enumerate(counts) for place in range(count)]
    return sorted(rows, key=lambda row: row[::-1]) if in_turn else rows


def deals_rows_in_turn(trainer: Trainer) -> bool:
    """Return whether the run's loaders deal rows as torch's `DistributedSampler` does.

    `TensorLoader` gives each process consecutive rows.
    """
    samplers = [
        one
        for loader in loaders_of(trainer.fit_loop)
        for one in (
            getattr(loader, "sampler", None),
            getattr(getattr(loader, "batch_sampler", None), "sampler", None),
        )
    ]
    return any(isinstance(one, DistributedSampler) for one in samplers)


def all_processes(trainer: Trainer, least: int) -> OneProcess:
    """Return the processes of a run that are to share pools.

    Args:
        trainer: The run's.
        least: The smallest number of examples that join a step, or are made at a time.

    Raises:
        UserError: If a process would get none of them, or some processes train on the same rows.
    """
    if trainer.world_size == 1:
        return OneProcess()
    if least < trainer.world_size:
        raise UserError(
            f"AdversarialTraining: with global_pools=True mix and refresh are shared out among "
            f"{trainer.world_size} processes, and one of them is {least}: set both to "
            f"{trainer.world_size} or more."
        )
    sharing = getattr(trainer.strategy, "distributed_sampler_kwargs", None) or {}
    replicas = sharing.get("num_replicas")
    if replicas not in (None, trainer.world_size):
        raise UserError(
            f"AdversarialTraining: global_pools=True needs rows of its own for each process; here "
            f"{trainer.world_size} processes train on {replicas} parts of the data. Leave "
            "global_pools out."
        )
    return AllProcesses(trainer)


def warn_of_batch_norm(module: LightningModule) -> None:
    """Warn that processes normalise their own rows, so that their number counts."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if any(isinstance(one, kinds) for one in module.modules()):
        rank_zero_warn(
            "AdversarialTraining: global_pools=True trains alike on any number of processes, but "
            "BatchNorm normalises each process's own rows. On GPUs set "
            "Trainer(sync_batchnorm=True)."
        )


def not_one_shape() -> str:
    """Return the message on rows that pools of all processes cannot hold."""
    return (
        "AdversarialTraining: global_pools=True needs rows that are tensors of one shape in all "
        "batches and on all processes; here shapes differ, or rows hold lists or arrays. Leave "
        "global_pools out: each process then has pools of its own."
    )
