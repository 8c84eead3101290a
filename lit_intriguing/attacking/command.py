"""`lightning attack` behind its options."""

import warnings

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.attacking.attack_run import AttackRun
from lit_intriguing.attacking.job import AttackJob
from lit_intriguing.attacking.split_data import SplitData
from lit_intriguing.attacking.store import Store
from lit_intriguing.attacking.summary import Summary
from lit_intriguing.errors import InterruptedRunError, UserError

_NO_MATTER = ("Be aware that when using `ckpt_path`, callbacks", "The dirpath has changed")
"""What Lightning says of the callbacks in a checkpoint, of which only the weights are wanted."""

_OTHER_WEIGHTS = "Error(s) in loading state_dict"


def attack_split(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    job: AttackJob,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> Summary:
    """Attacks a split of the data, or goes on with that, and prints the summary on rank 0.

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
    data = SplitData(datamodule or model, job.split, job.chunk, job.limit)
    callback = AttackRun(job, store, data)
    trainer.callbacks.append(callback)  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            for message in _NO_MATTER:
                warnings.filterwarnings("ignore", message)
            trainer.predict(
                model,
                datamodule=data,
                return_predictions=False,
                ckpt_path=ckpt_path,
                weights_only=weights_only,
            )
    except SystemExit as error:
        if not (trainer.interrupted and trainer.is_global_zero):
            raise
        kept = len(store.indices())
        what = "1 finished chunk is" if kept == 1 else f"{kept} finished chunks are"
        raise InterruptedRunError(
            f"interrupted. {what} kept in {store.folder}: the same command goes on from there."
        ) from error
    except RuntimeError as error:
        if _OTHER_WEIGHTS not in str(error):
            raise
        raise UserError(
            f"the checkpoint {ckpt_path} is not of this model: {' '.join(str(error).split())[:400]}"
        ) from error
    finally:
        trainer.callbacks.remove(callback)  # type: ignore[attr-defined]
    finished = store.finished
    if finished is None:
        raise UserError("no chunk was attacked: fast_dev_run or limit_predict_batches stop it.")
    summary = Summary(**finished["summary"])
    if trainer.is_global_zero:
        print(f"{summary.text()}\n{', '.join(finished['files'])} in {store.folder}", flush=True)
    return summary
