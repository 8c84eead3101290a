"""`lightning attack` behind its options."""

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.commands.attack.job import AttackJob
from lit_intriguing.commands.attack.run import AttackRun
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.splice import INPUT
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.splits.stored_loop import run_stored


def attack_split(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: AttackJob,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> Summary:
    """Attack a split of the data, or go on with that, and print the summary on rank 0.

    Args:
        trainer: Brings devices, strategy and precision.
        model: Whose `forward` gives logits `(N, C)`.
        datamodule: Gives batches `(images, labels)`; where None, the model does.
        job: What is asked for.
        ckpt_path: The model's weights; where None those it has.
        weights_only: See Lightning's `Trainer.predict`.

    Returns:
        The summary.

    Raises:
        UserError: Something of this does not fit together; the message says what to do.
    """
    job.check(model)
    store = Store(job.output)
    loop = AttackRun(job, store, SplitData(datamodule or model, job.split, job.chunk, job.limit))
    finished = run_stored(trainer, model, loop, ckpt_path, weights_only, "attacked")
    summary = Summary.of(finished["summary"])
    if trainer.is_global_zero:
        where = "the input" if job.layer == INPUT else f"layer {job.layer!r}"
        print(f"{'attack':<20} {job.attack!r} of {where}, goal {job.goal!r}")
        table = summary.text(job.pictures.paper_distortion)
        print(f"{table}\n{', '.join(finished['files'])} in {store.folder}", flush=True)
    return summary
