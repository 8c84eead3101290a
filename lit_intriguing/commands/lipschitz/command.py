"""`lightning lipschitz` behind its options."""

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.commands.lipschitz.job import BoundJob
from lit_intriguing.commands.lipschitz.model import prepare
from lit_intriguing.commands.lipschitz.output import Result, write
from lit_intriguing.commands.lipschitz.run import bound
from lit_intriguing.splits.resumable_store import Store


def bound_network(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: BoundJob,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> Result:
    """Bound a network, write the files and print the table.

    Args:
        trainer: For the data; nothing is launched.
        model: Whose `forward` is bounded, in evaluation mode.
        datamodule: Gives the shape of an example, and images to certify; where None, the model
            does.
        job: What is asked for.
        ckpt_path: See `prepare`.
        weights_only: See `prepare`.

    Returns:
        The result.

    Raises:
        UserError: Something of this does not fit together, or the folder holds another result; the
            message says what to do.
    """
    job.check(model)
    prepare(model, ckpt_path, weights_only)
    store = Store(job.output)
    store.check(job.settings(model, datamodule or model))
    result = bound(trainer, model, datamodule, job)
    store.begin(job.settings(model, datamodule or model))
    files = write(job.output, result)
    store.finish([], files, {})
    print(f"{result.text()}\n{', '.join(files)} in {job.output}", flush=True)
    return result
