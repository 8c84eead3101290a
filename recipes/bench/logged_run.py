"""What loggers and the callbacks that measure cost, as shares of the headline's run.

Trains `recipes/adv_mnist.yaml` for some of its 200 epochs, with `AdversarialExamples`,
`LipschitzMonitor` and `TransferEvaluation` at their defaults, and adds up in the same run the time
of each measurement, of each call of `log` and `log_dict`, and of what Lightning hands to the
loggers. So a busy machine slows both sides of a share. Pictures are drawn in the first epoch, each
tenth and the last, which is somewhat more often than in the whole run. Run it with

    OMP_NUM_THREADS=1 WANDB_MODE=offline python recipes/bench/logged_run.py
"""

import argparse
import functools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing import cli

MEASURING = ("AdversarialExamples", "LipschitzMonitor", "TransferEvaluation")
SCALARS = ("examples/seconds", "lipschitz/seconds", "lipschitz/estimate_seconds",
           "transfer/seconds")  # fmt: skip


class Clock(Callback):
    """Adds up where the time of a fit goes, and ends it early.

    Args:
        epochs: After which it ends.
    """

    last: "Clock"

    def __init__(self, epochs: int = 20) -> None:
        self.epochs = epochs
        self.seconds: Counter[str] = Counter()
        self.steps, self.whole, self._inside = 0, 0.0, False
        Clock.last = self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand before loggers and module."""
        for logger in trainer.loggers:
            logger.log_metrics = self._timed(logger.log_metrics)  # type: ignore[method-assign]
            logger.save = self._timed(logger.save)  # type: ignore[method-assign]
        for name in ("log", "log_dict"):
            setattr(pl_module, name, self._timed(getattr(pl_module, name)))
        self.whole = -time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End early."""
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.whole += time.perf_counter()
        self.steps = trainer.global_step
        del pl_module.log, pl_module.log_dict

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:  # `log_dict` calls `log`
                return function(*args, **kwargs)
            metrics = kwargs.get("metrics") or (args[0] if args else None)
            for name in SCALARS:
                if isinstance(metrics, dict) and name in metrics:
                    self.seconds[name] += metrics[name]
            self._inside, start = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds["logging"] += time.perf_counter() - start
                self._inside = False

        return timed


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the 200")
    parser.add_argument("--logger", default="csv_wandb", help="a file of configs/logger")
    options = parser.parse_args()
    clock = f"{{class_path: __main__.Clock, init_args: {{epochs: {options.epochs}}}}}"
    more = [f"--trainer.callbacks+=lit_intriguing.callbacks.{name}" for name in MEASURING]
    with tempfile.TemporaryDirectory() as folder, chdir(Path(folder)):
        logger = f"--config=configs/logger/{options.logger}.yaml"
        cli.main([
            "fit", "--config=recipes/adv_mnist.yaml", logger,
            *more, f"--trainer.callbacks+={clock}", "--test_after_fit=false",
            "--trainer.enable_progress_bar=false",
        ])  # fmt: skip
    clock_ = Clock.last
    measured = sum(clock_.seconds[name] for name in SCALARS)
    print(f"{clock_.steps} steps, {clock_.whole / clock_.steps * 1e3:.2f} ms each in all")
    for name in (*SCALARS, "logging"):
        print(f"{name:<28}{clock_.seconds[name] / clock_.whole:7.1%} of the run")
    share = clock_.seconds["logging"] / (clock_.whole - measured)
    print(f"logging, of what is left without measurements: {share:.1%} (goal: at most 3%)")
    added = measured / (clock_.whole - measured)
    print(f"measurements, added to the run without them: {added:.1%} (goal: at most 10%)")


if __name__ == "__main__":
    main()
