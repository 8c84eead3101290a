"""Runs killed with SIGKILL and resumed end as the uninterrupted ones, bit for bit.

`python -m tests.faults.kill --kills 50` prints a table. Each chain begins `lightning fit` on the
digits, with adversarial training, measuring callbacks and dropout, kills it at a random moment of
a chosen kind, goes on from the newest checkpoint, up to four times, and lets it end. What a run
ends with is compared with the uninterrupted run of the same checkpoints: weights, the optimiser's
and the schedule's state, pools, histories, random states, and Lightning's counters.

Runs are forked from this process, which has imported everything.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from fsspec.implementations.local import LocalFileOpener
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing import cli
from lit_intriguing.cli.newest_checkpoint import newest_of
from tests.faults.ends import differences

LENGTHS: tuple[dict[str, int], ...] = ({"max_steps": 36}, {"max_epochs": 3})
"""Lightning counts differently in the two; epochs have 11 steps."""
KINDS = ("step", "backward", "validation", "checkpoint", "half file", "epoch end", "any time")
CADENCES: dict[str, int | None] = {"5 steps": 5, "7 steps": 7, "10 steps": 10, "default": None}
FINAL = "final.ckpt"
SECONDS = 120
_HERE = "tests.faults.kill"


class Killer(Callback):
    """Kills all processes of the run at a moment of a kind; `PLAN` says at which.

    Checkpoints do not know of it.
    """

    def __init__(self) -> None:
        self.left = PLAN.count

    def _meet(self, kind: str) -> None:
        if kind == PLAN.kind:
            self.left -= 1
            if self.left == 0:
                _kill()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._meet("step")

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._meet("backward")

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self._meet("validation")

    def on_save_checkpoint(self, *_: Any) -> None:
        self._meet("checkpoint")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._meet("epoch end")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        PLAN.kind = ""
        trainer.save_checkpoint(FINAL)


@dataclass
class Plan:
    """When a run is killed.

    Attributes:
        kind: One of `KINDS`, or empty for never.
        count: At the how-manieth moment of this kind, from 1.
        seconds: When, for `any time`.
    """

    kind: str = ""
    count: int = 1
    seconds: float = 0.0


PLAN = Plan()


def _kill() -> None:
    os.killpg(0, signal.SIGKILL)


def _half_write(self: LocalFileOpener, content: bytes) -> int:
    """Write, or write the first half and be killed."""
    PLAN.count -= PLAN.kind == "half file"
    if PLAN.kind == "half file" and PLAN.count == 0:
        self.f.write(content[: len(content) // 2])
        self.f.flush()
        _kill()
    return int(self.f.write(content))


def configuration(cadence: int | None, processes: int, length: dict[str, int]) -> dict[str, Any]:
    """Return what `lightning fit` gets."""
    attack = {"class_path": "GradientAttack", "init_args": {"eps": 0.3}}
    plan = {"attack": attack, "pool": 100, "mix": 16, "refresh": 16}
    other = {"class_path": "Classifier", "init_args": {"widths": [64, 10, 10]}}
    few = {"examples": 4, "every_n_steps": 15, "attack": attack}
    callbacks = [
        _object("AdversarialTraining", layers={"": plan, "hidden1": {**plan, "relative": True}}),
        _object("TransferEvaluation", references={"other": other}, **few),
        _object("LipschitzMonitor", every_n_steps=9),
        _object("ExactResume"),
    ]
    if cadence is not None:
        callbacks.append(_object("ModelCheckpoint", every_n_train_steps=cadence, save_top_k=-1))
    dropout = {"widths": [64, 20, 20, 10], "dropout": [0.1, 0.2, 0.2]}
    schedule = _object("lit_intriguing.models.CosineOverRun")
    trainer: dict[str, Any] = {
        **length, "accelerator": "cpu", "devices": processes,
        "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 2,
        "callbacks": [*callbacks, _object(f"{_HERE}.Killer")],
    }  # fmt: skip
    if processes > 1:
        trainer["strategy"] = "ddp_fork"
    return {
        "model": _object("Classifier", **dropout, scheduler=schedule),
        "data": _object("Digits", batch_size=128 // processes, validation=100),
        "trainer": trainer,
        "test_after_fit": False,
    }


def _object(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


def _child(folder: Path, plan: Plan, arguments: list[str]) -> None:
    """Run the command in a process group of its own."""
    os.setsid()
    os.chdir(folder)
    vars(PLAN).update(vars(plan))
    LocalFileOpener.write = _half_write
    warnings.simplefilter("default")  # pytest's would make errors of Lightning's
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        cli.main(arguments)
    except SystemExit as error:
        sys.stdout.flush()
        os._exit(int(error.code or 0))
    sys.stdout.flush()
    os._exit(0)


def run(folder: Path, plan: Plan, *arguments: str) -> tuple[int, float]:
    """Run `lightning fit` once.

    Args:
        folder: Where `run.yaml` is.
        plan: When to kill it.
        arguments: Further ones.

    Returns:
        The exit status, negative for a signal, and the seconds it ran.
    """
    began = time.monotonic()
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(folder, plan, ["fit", "--config=run.yaml", *arguments])
    )
    process.start()
    assert process.pid is not None
    process.join(plan.seconds if plan.kind == "any time" else SECONDS)
    if process.is_alive():
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # before its setsid
            process.kill()
        process.join()
    return int(process.exitcode or 0), time.monotonic() - began


def newest(folder: Path, damaged: list[Path]) -> Path | None:
    """Return the newest checkpoint that can be read; others go onto a list."""
    found = folder.rglob("checkpoints/*.ckpt")
    return newest_of(found, lambda path, _: damaged.append(path))


@dataclass
class Chain:
    """What became of one chain.

    Attributes:
        kinds: Kinds of the kills that hit, in order.
        differing: What is not as in the uninterrupted run.
        damaged: Checkpoints that could not be read.
        failed: Exit status of a run that ended by itself, but not well.
    """

    kinds: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    failed: int = 0

    @property
    def good(self) -> bool:
        """Whether it ended as the uninterrupted run."""
        return not (self.differing or self.damaged or self.failed)


class Settings:
    """Runs with the same checkpoints and number of processes, and how they end without a kill."""

    def __init__(self, folder: Path, cadence: str, processes: int, length: dict[str, int]) -> None:
        self.folder = folder
        self.configuration = configuration(CADENCES[cadence], processes, length)
        self._begin(folder / "whole")
        status, self.seconds = run(folder / "whole", Plan())
        if status:
            raise RuntimeError((folder / "whole" / "log.txt").read_text()[-3000:])

    def _begin(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text(yaml.safe_dump(self.configuration))

    def chain(self, name: str, plans: Iterator[Plan]) -> Chain:
        """Kill and resume until the plans or the steps are at an end; then compare."""
        folder = self.folder / name
        self._begin(folder)
        chain = Chain()
        for plan in (*plans, Plan()):
            checkpoint = newest(folder, chain.damaged)
            given = [f"--ckpt_path={checkpoint}"] if checkpoint else []
            status, _ = run(folder, plan, *given)
            if status == -signal.SIGKILL:
                chain.kinds.append(plan.kind)
                continue
            chain.failed = status
            break  # at its end, before the moment came
        if not chain.failed:
            ends = (self.folder / "whole" / FINAL, folder / FINAL)
            chain.differing = differences(*ends)
        return chain


def random_plans(source: random.Random, seconds: float) -> Iterator[Plan]:
    """Return up to four random moments."""
    most = {"step": 18, "backward": 18, "validation": 2, "checkpoint": 4, "half file": 4}
    for _ in range(source.randint(1, 4)):
        kind = source.choice(KINDS)
        yield Plan(kind, source.randint(1, most.get(kind, 2)), source.uniform(0.3, seconds))


def campaign(folder: Path, kills: int, processes: int, seed: int) -> Iterator[tuple[str, Chain]]:
    """Run chains, with each cadence in turn, until there were enough kills."""
    source = random.Random(seed)
    settings = {
        f"{name}, {next(iter(length))}": Settings(
            folder / f"{name} {number}", name, processes, length
        )
        for name in CADENCES
        for number, length in enumerate(LENGTHS)
    }
    number = done = 0
    while done < kills:
        cadence = list(settings)[number % len(settings)]
        one = settings[cadence]
        chain = one.chain(f"chain-{number}", random_plans(source, one.seconds))
        number += 1
        done += len(chain.kinds)
        yield cadence, chain


def main() -> None:
    """Run a campaign, and print what became of each chain and in all."""
    parser = argparse.ArgumentParser("python -m tests.faults.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds: Counter[str] = Counter()
    chains = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for cadence, chain in campaign(
            Path(folder), options.kills, options.processes, options.seed
        ):
            kinds.update(chain.kinds)
            chains, bad = chains + 1, bad + (not chain.good)
            words = "as without" if chain.good else f"WRONG: {chain}"
            print(
                f"{cadence}: killed in {', '.join(chain.kinds) or 'nothing'}: {words}", flush=True
            )
    print(f"{sum(kinds.values())} kills in {chains} chains, {bad} of them wrong; {dict(kinds)}")
    sys.exit(min(bad, 1))


if __name__ == "__main__":
    # The callback in the configuration is of the module by its name, not of `__main__`.
    from tests.faults import kill

    kill.main()
