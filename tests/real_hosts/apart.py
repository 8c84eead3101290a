"""Cells in processes of their own, which may die or take too long."""

import logging
import multiprocessing
import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

from tests.real_hosts.cell import FAULT, Result, bare, cell, end_of
from tests.real_hosts.columns import COLUMNS
from tests.real_hosts.hosts import HOSTS, MODULES
from tests.real_hosts.running import Run

SECONDS = 60.0
"""Of a cell."""

FIRST_SECONDS = 300.0
"""Of a run without a callback, the first of which waits for the libraries."""

MEMORY = 12 * 2**30
"""Bytes of a process: what asks for more fails, and takes no other process along."""

_CONTEXT = multiprocessing.get_context("forkserver")
# Each cell begins as a copy of a process that has loaded the libraries.
_CONTEXT.set_forkserver_preload(["tests.real_hosts.cell", *MODULES])


def row(
    host: str, columns: Sequence[str] = tuple(COLUMNS), seconds: float = SECONDS
) -> dict[str, Result]:
    """Run cells of a host.

    Args:
        host: Its name.
        columns: The columns' names.
        seconds: After which a cell is a fault.

    Raises:
        RuntimeError: If the host cannot be trained without a callback.
    """
    without = _ended(host, None, None, FIRST_SECONDS)
    if isinstance(without, Result):
        raise RuntimeError(f"{host} without a callback: {without.message}\n{without.details}")
    return {column: _ended(host, column, without, seconds) for column in columns}


def _ended(host: str, column: str | None, without: Run | None, seconds: float) -> Any:
    """Run a cell in a process of its own.

    Args:
        host: Name of the host.
        column: Name of the column; None for the run without a callback.
        without: That run.
        seconds: After which it is ended.

    Returns:
        The `Run` without a callback, or a `Result`.
    """
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(there, host, column, without), daemon=True)
    process.start()
    there.close()
    try:
        if here.poll(seconds):
            return here.recv()
        return Result(FAULT, f"not done within {seconds:.0f} seconds")
    except EOFError:
        process.join()
        return Result(FAULT, f"the process ends with {process.exitcode}")
    finally:
        process.kill()
        process.join()


def _work(there: Connection, host: str, column: str | None, without: Run | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    build = HOSTS[host].build
    try:
        if column is None or without is None:
            there.send(bare(build))
        else:
            there.send(cell(build, column, without))
    except Exception as error:
        there.send(Result(FAULT, f"{type(error).__name__}: {error}", end_of(error)))
