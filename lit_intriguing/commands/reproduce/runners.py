"""How a step is run: in this process, or in one of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

import torch

import lit_intriguing
from lit_intriguing import cli
from lit_intriguing.training_runs.measure import silence

_BY_ITSELF = 3.0
"""Seconds that a process has to end by itself: Ctrl-C at a terminal reaches it as well."""
_PATIENCE = 20.0
"""Seconds that it has to end in order when it is asked to."""


def in_this_process(words: list[str], folder: Path, log: Path) -> int:
    """Run a command line and return its exit status.

    Args:
        words: Behind `lightning`.
        folder: In which it runs.
        log: What it prints goes to the end of this file.
    """
    threads = torch.get_num_threads()
    try:
        with log.open("a", encoding="utf-8") as file, contextlib.chdir(folder), silence(file):
            try:
                cli.main(words)
            except AskedToEndError:
                raise
            except SystemExit as error:
                return error.code if isinstance(error.code, int) else int(error.code is not None)
            except Exception:
                traceback.print_exc(file=file)
                return 1
    finally:
        torch.set_num_threads(threads)
    return 0


class OwnProcess:
    """A command line in a process of its own; see `in_this_process`.

    Within `asked_to_end` and with `end_all` at the end, whatever ends this process ends the other
    too, but for a kill that nobody can catch.
    """

    def __init__(self, words: list[str], folder: Path, log: Path) -> None:
        package = str(Path(lit_intriguing.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lit_intriguing", *words],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip

    def status(self, seconds: float) -> int | None:
        """Return the exit status; None if the process still runs after some seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Ask the process to end in order, so that it keeps what it has."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process by force."""
        self._process.kill()
        self._process.wait()


def end_all(processes: Iterable[OwnProcess]) -> None:
    """End processes together: they have a time to do so by themselves, and one when asked.

    Meanwhile this process hears no further signal, so that none of them is left.
    """
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        left = _still_there(processes, _BY_ITSELF)
        for one in left:
            one.terminate()
        for one in _still_there(left, _PATIENCE):
            one.kill()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _still_there(processes: Iterable[OwnProcess], seconds: float) -> list[OwnProcess]:
    end = time.monotonic() + seconds
    return [one for one in processes if one.status(max(0.0, end - time.monotonic())) is None]


class AskedToEndError(SystemExit):
    """SIGTERM, which ends this process and not a step alone."""


@contextlib.contextmanager
def asked_to_end() -> Iterator[None]:
    """Have SIGTERM end this process in order: `finally` is reached."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    raise AskedToEndError(128 + number)
