"""`lightning evaluate` behind its options."""

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.commands.evaluate.job import EvaluateJob
from lit_intriguing.commands.evaluate.run import EvaluateRun
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.splits.stored_loop import run_stored


def evaluate_split(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: EvaluateJob,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> dict[str, float]:
    """Evaluate a split of the data, or go on with that, and print the table on rank 0.

    Args:
        trainer: Brings devices, strategy and precision.
        model: Whose `forward` gives logits `(N, C)`.
        datamodule: Gives batches `(images, labels)`; where None, the model does.
        job: What is asked for.
        ckpt_path: The model's weights; where None those it has.
        weights_only: See Lightning's `Trainer.predict`.

    Returns:
        The scalars; see `lit_intriguing.robustness.summary`.

    Raises:
        UserError: Something of this does not fit together; the message says what to do.
    """
    job.check(model)
    store = Store(job.output)
    loop = EvaluateRun(job, store, SplitData(datamodule or model, job.split, job.chunk, job.limit))
    finished = run_stored(trainer, model, loop, ckpt_path, weights_only, "evaluated")
    if trainer.is_global_zero:
        files = ", ".join(finished["files"])
        print(f"{finished['summary']['text']}\n{files} in {store.folder}", flush=True)
    scalars: dict[str, float] = finished["summary"]["scalars"]
    return scalars
