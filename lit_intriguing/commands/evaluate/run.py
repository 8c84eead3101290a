"""How it runs: attacks at all sizes inside Lightning's predict loop, chunk by chunk."""

import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from lit_intriguing.attacks.examples import joined
from lit_intriguing.commands.evaluate.job import EvaluateJob
from lit_intriguing.commands.evaluate.output import write
from lit_intriguing.commands.evaluate.sanity import load, look, save
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import at_least_single, in_precision
from lit_intriguing.robustness.certified import Certificate, certificate_of
from lit_intriguing.robustness.evaluate import evaluate_chunk
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.splits.stored_loop import StoredLoop


class EvaluateRun(StoredLoop):
    """Evaluates each batch of the predict loop and stores what was found.

    Args:
        job: What is asked for.
        store: Where the results go.
        data: What the loop runs over.
    """

    def __init__(self, job: EvaluateJob, store: Store, data: SplitData) -> None:
        super().__init__(store, data, "Evaluate")
        self.job = job
        self._certificate: tuple[Certificate | None] | None = None

    @override
    def settings(self, module: LightningModule) -> Mapping[str, Any]:
        self._certificate = None
        return self.job.settings(module, self.data.source)

    @override
    def make(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> tuple[Chunk, str]:
        job, start = self.job, time.perf_counter()
        model = in_precision(trainer.lightning_module, trainer.precision_plugin)
        try:
            found = evaluate_chunk(
                model, job.runs(), at_least_single(images), labels,
                bounds=job.bounds, shared=job.shared, seed=job.seed, index=index,
                certificate=self._certified(trainer.lightning_module, images),
            )  # fmt: skip
            if index == 0 and job.sanity:
                findings = look(model, at_least_single(images), labels, job)
                if self.writes(trainer):
                    save(self.store.folder, findings)
        except ValueError as error:
            raise UserError(str(error)) from error
        norm, sizes = next(iter(job.sizes.items()))
        status = f"error at {norm} {sizes[-1]:g} {float(found.error(norm, sizes)[-1]):.1%}"
        return Chunk(found.columns(), source, time.perf_counter() - start), status

    def _certified(self, model: LightningModule, images: Tensor) -> Certificate | None:
        """Return what certifies the model, made at the first chunk of this process."""
        if self.job.certify is False:
            return None
        if self._certificate is None:
            every, shape = self.job.certify is True, tuple(images.shape[1:])
            found = certificate_of(model, shape, every=every, sharpest=True)
            if found is None and every:
                raise UserError(
                    "certify: the network has no finite bound; `lightning lipschitz` says why. "
                    "Leave certify out."
                )
            self._certificate = (found,)
        return self._certificate[0]

    @override
    def merge(self) -> None:
        chunks = list(self.store.chunks())
        columns = joined(
            (chunk.columns for chunk in chunks), sum(len(one.columns["labels"]) for one in chunks)
        )
        seconds = sum(chunk.seconds for chunk in chunks)
        files, summary = write(
            self.store.folder, columns, self.job, seconds, load(self.store.folder)
        )
        self.store.finish([chunk.source for chunk in chunks], files, summary)
