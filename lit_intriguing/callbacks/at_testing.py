"""A fixed few examples of the test data, for callbacks that measure at test time too."""

from lightning.pytorch import LightningModule, Trainer

from lit_intriguing.callbacks.on_labels_or_loss import OnLabelsOrLoss
from lit_intriguing.hosts.dataset_access import example_order
from lit_intriguing.hosts.fixed_examples import FixedExamples, read_from
from lit_intriguing.loggers.when import When
from lit_intriguing.private.of_lightning import loaders_of, test_loop


class AtTest(OnLabelsOrLoss):
    """Measures once at the end of a test, on examples of the first test loader.

    They are chosen as those of a fit are. A stream cannot be read twice: of it none are taken, with
    a warning.
    """

    _tested: FixedExamples | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the examples, and try everything out on them.

        Raises:
            BatchError: If the inputs and labels of a batch cannot be found.
            UserError: For inputs outside the bounds, or an attack that fails.
        """
        self._tested = None
        loaders = loaders_of(test_loop(trainer))
        if not loaders or example_order(loaders[0]) is None:
            self.warn_once(
                "test", f"{type(self).__name__} measures nothing of the test data: single examples "
                "of it cannot be read. `lightning evaluate` reads a stream in one process."
            )  # fmt: skip
            return
        batch = read_from(trainer, pl_module, loaders[0], 4 * self.examples, self.seed)
        inputs, labels = self._pick(trainer, pl_module, batch)
        examples = inputs.to(pl_module.device), labels.to(pl_module.device)
        self._check_labels(labels)
        self.tried(trainer, pl_module, examples)
        self._tested = examples

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the weights that were tested."""
        examples, self._tested = self._tested, None
        if examples is None:
            return
        when = When.at_end(trainer)

        def work() -> None:
            with self.measured(trainer, when, "test/seconds"):
                self.measure_at_test(trainer, pl_module, examples, when)

        self.or_warn(work, "measured nothing at test time")
        self.tell(trainer)

    def measure_at_test(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples, when: When
    ) -> None:
        """Measure the examples of the test, on every process alike, and report on the first."""
        raise NotImplementedError
