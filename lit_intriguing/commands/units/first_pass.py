"""The pass before the scan, which finds the principal components of each layer."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.units.job import UnitJob, begin_store
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.splits.loop import ChunkLoop
from lit_intriguing.splits.resumable_store import MADE_AGAIN, Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.tensor_files import read_tensors
from lit_intriguing.units.analyse import TRAINED
from lit_intriguing.units.components import RunningComponents
from lit_intriguing.units.layers import matching_layers
from lit_intriguing.whole_files import draft

_FILE = "principal_components.pt"


class FirstPass(ChunkLoop):
    """Finds the principal components of the layers of a network and of its control.

    Args:
        job: What is asked for.
        store: Where the components go.
        data: What the loop runs over.
    """

    def __init__(self, job: UnitJob, store: Store, data: SplitData) -> None:
        super().__init__(data, task="Principal components")
        self.job, self.store = job, store
        self._networks: Mapping[str, nn.Module] = {}
        self._found: dict[str, RunningComponents] = {}

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        begin_store(self.job, self.store, self.data, trainer, module)
        self._networks = self.job.networks(module)
        self._found = self._new()

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        for name, model in self._networks.items():
            self._found[name].add(model, images, in_precision(model, trainer.precision_plugin))
        self.advance("")

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save this process's part, then put the parts together."""
        if self.writes(trainer):
            with draft(self._part(trainer.global_rank)) as file:
                found = {name: one.state_dict() for name, one in self._found.items()}
                torch.save({"chunks": self._position, "found": found}, file)
        super().on_predict_end(trainer, pl_module)

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        paths = [self._part(rank) for rank in range(trainer.world_size)]
        parts = [path for path in paths if path.is_file()]
        found, done = self._joined(parts)
        if done == chunks:
            with draft(self.store.folder / _FILE) as file:
                torch.save({name: one.result() for name, one in found.items()}, file)
        for path in parts:
            path.unlink()
        if done != chunks:  # components of some images would pass for those of all
            raise UserError(
                f"{done} of {chunks} chunks are done: repeat the command without fast_dev_run or "
                "limit_predict_batches."
            )

    def _joined(self, parts: Iterable[Path]) -> tuple[dict[str, RunningComponents], int]:
        """Return what all parts found together, and of how many chunks."""
        found, done = self._new(), 0
        for path in parts:
            part = read_tensors(path, MADE_AGAIN)
            done += part["chunks"]
            for name, state in part["found"].items():
                found[name].merge_state(state)
        return found, done

    def _new(self) -> dict[str, RunningComponents]:
        layers = matching_layers(self._networks[TRAINED], self.job.layers)
        return {name: RunningComponents(layers, self.job.scan.reading) for name in self._networks}

    def _part(self, rank: int) -> Path:
        return self.store.folder / f"covariance_{rank}.pt"


def components_in(folder: Path) -> dict[str, dict[str, Tensor]] | None:
    """Return network to layer to components `(2 D, D)`; None where they are not found yet."""
    path = folder / _FILE
    if not path.is_file():
        return None
    found: dict[str, dict[str, Tensor]] = read_tensors(path, MADE_AGAIN)
    return found
