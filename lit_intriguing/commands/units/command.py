"""`lightning units` behind its options."""

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.commands.units.first_pass import FirstPass, components_in
from lit_intriguing.commands.units.job import UnitJob
from lit_intriguing.commands.units.run import UnitRun, done_in
from lit_intriguing.errors import UserError
from lit_intriguing.splits.loop import ChunkLoop, run_loop
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.splits.split import SplitData


def compare_units(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: UnitJob,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> dict[str, Any]:
    """Compare units with random directions over a split, and print the table on rank 0.

    Args:
        trainer: Brings devices, strategy and precision.
        model: Whose layers are read.
        datamodule: Gives batches `(images, labels)`; where None, the model does.
        job: What is asked for.
        ckpt_path: The model's weights; where None those it has.
        weights_only: See Lightning's `Trainer.predict`.

    Returns:
        What was written: `files`, and `summary` with the table as `text`.

    Raises:
        UserError: Something of this does not fit together; the message says what to do.
    """
    job.check(model)
    store = Store(job.output)
    data = SplitData(datamodule or model, job.split, job.chunk, job.limit)
    passes: list[ChunkLoop] = [UnitRun(job, store, data)]
    if job.principal and components_in(job.output) is None:
        passes.insert(0, FirstPass(job, store, data))
    for loop in passes:
        run_loop(trainer, model, loop, lambda: done_in(job.output), ckpt_path, weights_only)
    finished = store.finished
    if finished is None:
        raise UserError("no image was looked at: fast_dev_run or limit_predict_batches stop it.")
    if trainer.is_global_zero:
        files = ", ".join(finished["files"])
        print(f"{finished['summary']['text']}\n{files} in {store.folder}", flush=True)
    return finished
