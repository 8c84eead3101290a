"""What is asked for: the options of `lightning transfer`, and what is done with them."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from lightning.pytorch import LightningDataModule, Trainer
from typing_extensions import override

from lit_intriguing.commands.transfer.job import TransferJob
from lit_intriguing.commands.transfer.output import PaperRow, TransferReport
from lit_intriguing.commands.transfer.run import TransferRun
from lit_intriguing.commands.transfer.table import Interval, Table, TableRow
from lit_intriguing.configuration.instances import instance
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.job import ExampleStudy
from lit_intriguing.model_sets.run import Models
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.splits.split import Split, SplitData


@dataclass(frozen=True)
class CleanSplit:
    """A whole split that every model is measured on, as it is.

    Attributes:
        split: Which part.
        data: `class_path` and `init_args` of a data module; the study's own where null.
    """

    split: Split
    data: dict[str, Any] | None = None


@dataclass
class TransferMatrix(ExampleStudy[TransferJob, Table]):
    """How adversarial examples made for each model fool all of them.

    Szegedy et al. 2013, tables 2 and 4. The images are the first `limit` of a split, in the data
    set's own order, the same for every model. Each model's examples aim at the same labels. All
    images are attacked, also those that a model misclassifies as they are, as the paper's errors on
    noise have it; the examples that reach their goal are the set, and a model's error on a set is
    the share of predictions that are not the true label, so that the diagonal is 100%. What was
    done is stored under `out_dir`, and used again where weights, images and settings are the same.

    Further options are those of `ExampleStudy`.

    Args:
        out_dir: Where everything goes: `transfer.csv`, `.md`, `.png`, and what is stored.
        only_correct: Attack, for each model, only the images that it classifies correctly.
        noise: Standard deviations of Gaussian noise, a fixed set of images for each.
        amplify: Root mean square changes that the examples are brought to along their own
            direction; a set for each model and number.
        show: Draw so many images, clean beside distorted, of each set of examples and of noise, as
            the paper's figure 7 does, into `examples.png`: the first that count in all these sets.
        clip: Keep noise and amplified examples in the bounds; the paper does not.
        clean: Whole splits to measure the errors on, by the name in the table.
        paper: The paper's numbers by the name in the table: errors in per cent, one a model, and
            the average distortion.
        interval: wilson, or exact (Clopper and Pearson).
    """

    LACK: ClassVar[str] = "cells of the table are marked"

    only_correct: bool = TransferJob.only_correct
    noise: list[float] = field(default_factory=lambda: list(TransferJob.noise))
    amplify: list[float] = field(default_factory=lambda: list(TransferJob.amplify))
    show: int = 0
    clip: bool = TransferJob.clip
    clean: dict[str, CleanSplit] = field(default_factory=dict)
    paper: dict[str, PaperRow] = field(default_factory=dict)
    interval: Interval = "wilson"
    title: str = "Transfer"

    @override
    def check(self) -> TransferJob:
        job = super().check()
        if not 0 <= self.show <= self.chunk:
            raise UsageError(f"show lies between 0 and chunk, {self.chunk}, not {self.show}.")
        self._check_paper([*(one.title for one in job.sets(self.models)), *self.clean])
        return job

    @override
    def job(self) -> TransferJob:
        return TransferJob(
            **self.example_options(),
            only_correct=self.only_correct,
            noise=tuple(self.noise),
            amplify=tuple(self.amplify),
            clip=self.clip,
        )

    @override
    def measure(
        self, trainer: Trainer, models: Models, job: TransferJob, failures: dict[str, str]
    ) -> Table | None:
        # The main table, with the clean splits' rows before it.
        main = self._pass(trainer, models, job, failures, self.data, self.split, self.limit, "")
        bare = replace(job, noise=(), amplify=(), adversarial=False)
        rows: list[TableRow] = []
        failed: dict[str, str] = {}
        for title, clean in self.clean.items():
            data = (
                self.data
                if clean.data is None
                else instance(clean.data, LightningDataModule, "data")
            )
            found = self._pass(trainer, models, bare, failures, data, clean.split, None, title)
            if found is not None:
                rows.append(replace(found.rows[0], title=title))
                failed |= found.failures
        if main is None:
            return None
        return replace(main, rows=(*rows, *main.rows), failures={**failed, **main.failures})

    @override
    def report(self, found: Table, job: TransferJob) -> TransferReport:
        return TransferReport(
            found, self.paper, self.interval, title=self.title, confidence=self.confidence
        )

    def _check_paper(self, titles: list[str]) -> None:
        if len(set(titles)) < len(titles):
            raise UsageError(f"two rows of the table have the same name: {titles}.")
        for title, row in self.paper.items():
            if title not in titles:
                known = ", ".join(map(repr, titles))
                raise UsageError(
                    f"paper: no row {title!r}; the table has {known}.{did_you_mean(title, titles)}"
                )
            if row.errors and len(row.errors) != len(self.models):
                raise UsageError(
                    f"paper: {len(row.errors)} errors for {title!r}, the study has "
                    f"{len(self.models)} models."
                )

    def _pass(
        self,
        trainer: Trainer,
        models: Models,
        job: TransferJob,
        failures: dict[str, str],
        data: LightningDataModule,
        split: Split,
        limit: int | None,
        title: str,
    ) -> Table | None:
        loop = TransferRun(
            self.pass_over(SplitData(data, split, job.chunk, limit), job, failures),
            title or "examples and predictions",
            self.show if job.adversarial else 0,
        )
        return self.run_over(loop, trainer, models)
