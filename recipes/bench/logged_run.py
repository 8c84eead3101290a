"""What loggers and the callbacks that measure cost, as shares of a run.

Trains `recipes/adv_mnist_pools.yaml` for some of its 200 epochs, with `AdversarialExamples`,
`LipschitzMonitor` and `TransferEvaluation` at their defaults, and adds up in the same run the
processor time of each measurement, of each call of `log` and `log_dict`, and of what is handed to
the loggers. In the whole run 41 epochs are measured and 21 drawn; the first epochs and an early end
make it more of a part, the more the shorter it is. Run it with

    OMP_NUM_THREADS=1 WANDB_MODE=offline python recipes/bench/logged_run.py
"""

import argparse
import functools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing import cli
from lit_intriguing.callbacks.measuring import Measuring

MEASURING = ("AdversarialExamples", "LipschitzMonitor", "TransferEvaluation")


class Clock(Callback):
    """Adds up where the processor time of a fit goes, and ends it early.

    Args:
        epochs: After which it ends.
    """

    last: "Clock"

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.logging: Counter[str] = Counter()
        self.measuring: Counter[str] = Counter()
        self.steps, self.whole, self._inside = 0, 0.0, False
        Clock.last = self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stand before loggers, module and callbacks."""
        for logger in trainer.loggers:
            for name in ("log_metrics", "save"):
                setattr(logger, name, self._timed(type(logger).__name__, getattr(logger, name)))
        for name in ("log", "log_dict"):
            setattr(pl_module, name, self._timed("log, log_dict", getattr(pl_module, name)))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Measuring):
                callback.measured = self._measuring(callback)  # type: ignore[method-assign]
        self.whole = -time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End early."""
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.whole += time.process_time()
        self.steps = trainer.global_step
        del pl_module.log, pl_module.log_dict

    def _timed(self, who: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            # `log_dict` calls `log`; figures and tables belong to the measurement.
            if self._inside:
                return function(*args, **kwargs)
            with self._counting(self.logging, who):
                return function(*args, **kwargs)

        return timed

    def _measuring(self, callback: Measuring) -> Callable[..., Any]:
        inner = callback.measured

        @contextmanager
        def measured(*args: Any) -> Iterator[None]:
            with self._counting(self.measuring, type(callback).__name__), inner(*args):
                yield

        return measured

    @contextmanager
    def _counting(self, counter: Counter[str], name: str) -> Iterator[None]:
        self._inside, start = True, time.process_time()
        try:
            yield
        finally:
            counter[name] += time.process_time() - start  # type: ignore[assignment]
            self._inside = False


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40, help="epochs of the 200")
    parser.add_argument("--logger", default="csv_wandb", help="a file of configs/logger")
    options = parser.parse_args()
    clock = f"{{class_path: __main__.Clock, init_args: {{epochs: {options.epochs}}}}}"
    more = [f"--trainer.callbacks+=lit_intriguing.callbacks.{name}" for name in MEASURING]
    with tempfile.TemporaryDirectory() as folder, chdir(Path(folder)):
        cli.main([
            "fit", "--config=recipes/adv_mnist_pools.yaml",
            f"--config=logger/{options.logger}", *more,
            f"--trainer.callbacks+={clock}", "--test_after_fit=false",
            "--trainer.enable_progress_bar=false",
        ])  # fmt: skip
    _report(Clock.last)


def _report(clock: Clock) -> None:
    measuring, logging = (sum(one.values()) for one in (clock.measuring, clock.logging))
    without = clock.whole - measuring
    print(f"{clock.steps} steps, {without / clock.steps * 1e3:.2f} ms each without measurements")
    print("shares of the run without measurements:")
    for name, seconds in (clock.logging + clock.measuring).items():
        print(f"  {name:<24}{seconds / without:7.1%}")
    print(f"logging {logging / without:.1%} (goal: at most 3%)")
    print(f"measuring {measuring / without:.1%} (goal: at most 10%)")


if __name__ == "__main__":
    main()
