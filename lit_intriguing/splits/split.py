"""A data module that serves one split of another, in chunks of examples."""

from collections.abc import Callable
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from typing_extensions import override

from lit_intriguing.errors import UserError
from lit_intriguing.splits.loader import ChunkLoader

Split = Literal["train", "validation", "test"]

_STAGES = {"train": "fit", "validation": "validate", "test": "test"}
_LOADERS = {
    "train": "train_dataloader",
    "validation": "val_dataloader",
    "test": "test_dataloader",
}
_TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


class SplitData(LightningDataModule):
    """A split of the user's data, in chunks, for `Trainer.predict` to run over.

    Args:
        source: The user's data module, or the module itself where it brings its own data.
        split: Which part.
        size: Examples in a chunk.
        limit: Take no more examples than that.

    Raises:
        UserError: If the source has no such split.
    """

    def __init__(
        self,
        source: LightningDataModule | LightningModule,
        split: Split,
        size: int,
        limit: int | None,
    ) -> None:
        super().__init__()
        self.source, self.split, self.size, self.limit = source, split, size, limit
        if not is_overridden(_LOADERS[split], source):
            there = [name for name, hook in _LOADERS.items() if is_overridden(hook, source)]
            raise UserError(
                f"{type(source).__name__} has no {split} split (no {_LOADERS[split]}); it has: "
                f"{', '.join(there) or 'none'}."
            )
        # A process may get no chunk where there are few.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.prepare_data_per_node = source.prepare_data_per_node
        if isinstance(source, LightningDataModule):
            self._take_over(source)

    def _take_over(self, source: LightningDataModule) -> None:
        """Use the user's own hooks that bring batches to the device."""
        for name in _TRANSFER:
            if is_overridden(name, source):
                setattr(self, name, getattr(source, name))

    @override
    def prepare_data(self) -> None:
        """Call the source's `prepare_data`; Lightning itself calls that of a module."""
        if isinstance(self.source, LightningDataModule):
            self.source.prepare_data()

    @override
    def setup(self, stage: str) -> None:
        """Set the source up for the split, whatever the Trainer's stage."""
        if isinstance(self.source, LightningDataModule):
            self.source.trainer = self.trainer
        self._hook("setup")(_STAGES[self.split])

    @override
    def teardown(self, stage: str) -> None:
        """Tear the source down."""
        self._hook("teardown")(_STAGES[self.split])

    @override
    def on_exception(self, exception: BaseException) -> None:
        """Pass the exception on to the source."""
        if isinstance(self.source, LightningDataModule):
            self.source.on_exception(exception)

    @override
    def predict_dataloader(self) -> ChunkLoader:
        """Return this process's chunks.

        Raises:
            UserError: If the source gives no loader, or several.
        """
        loader = getattr(self.source, _LOADERS[self.split])()
        if isinstance(loader, list | tuple) and len(loader) == 1:
            (loader,) = loader
        if isinstance(loader, list | tuple | dict) or loader is None:
            count = len(loader) if loader else 0
            raise UserError(
                f"{type(self.source).__name__} gives {count} loaders for the {self.split} split; "
                "an attack takes one."
            )
        trainer = self.trainer
        assert trainer is not None
        shared = not works_in_step(trainer.strategy)
        return ChunkLoader(
            loader,
            self.size,
            self.limit,
            trainer.global_rank if shared else 0,
            trainer.world_size if shared else 1,
        )

    def _hook(self, name: str) -> Callable[[str], Any]:
        if isinstance(self.source, LightningModule) and not is_overridden(name, self.source):
            return lambda stage: None
        hook: Callable[[str], Any] = getattr(self.source, name)
        return hook


def works_in_step(strategy: object) -> bool:
    """Return whether the strategy spreads one model over processes that must act alike."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    return isinstance(strategy, ModelParallelStrategy)
