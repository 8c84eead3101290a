"""The network that is bounded: its weights, and the shape of what it takes."""

from typing import get_args

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.errors import UserError
from lit_intriguing.models.weights import load_weights, read_checkpoint
from lit_intriguing.shipped_weights import found_checkpoint
from lit_intriguing.splits.loader import KEYS
from lit_intriguing.splits.split import Split, SplitData


def prepare(model: LightningModule, ckpt_path: str | None, weights_only: bool | None) -> None:
    """Bring the model into the state in which it is bounded: built, loaded, in evaluation mode.

    Args:
        model: Changed in place.
        ckpt_path: Its weights: a checkpoint of `lightning fit`; where None those it has.
        weights_only: Whether the checkpoint may hold tensors and plain values only, as it must
            unless this is False.

    Raises:
        UserError: There is no such file, or it is not of this model.
    """
    model.configure_model()
    if ckpt_path is not None:
        path = found_checkpoint(ckpt_path)
        load_weights(model, read_checkpoint(path, weights_only is not False), path)
    model.eval()


def shape_of_data(
    trainer: Trainer, model: LightningModule, datamodule: LightningDataModule | None, first: Split
) -> tuple[int, ...]:
    """Return the shape of the data's first example, without the batch dimension.

    Args:
        trainer: Which the data may ask.
        model: Gives the data where there is no data module.
        datamodule: Gives batches `(images, labels)`.
        first: The split to look at; others where there is no such.

    Raises:
        UserError: There is no data.
    """
    for split in dict.fromkeys((first, *get_args(Split))):
        try:
            data = SplitData(datamodule or model, split, 1, 1)
        except UserError:  # no such split
            continue
        return _first_shape(trainer, data)
    raise UserError(
        "there is no data to take the shape of an example from: give it, without the batch "
        "dimension, as --input_shape '[3, 224, 224]'."
    )


def _first_shape(trainer: Trainer, data: SplitData) -> tuple[int, ...]:
    data.trainer = trainer
    data.prepare_data()
    data.setup("predict")
    try:
        shape = KEYS.example_shape(next(iter(data.predict_dataloader())))
    finally:
        data.teardown("predict")
    return shape
