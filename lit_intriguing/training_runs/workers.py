"""Runs spread over processes, each result stored by the process that found it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from lit_intriguing.errors import UserError
from lit_intriguing.numerics import flush_denormals, keep_freed_memory
from lit_intriguing.training_runs.measure import Measure, attempt
from lit_intriguing.training_runs.provenance import this_program
from lit_intriguing.training_runs.store import Result, Run, RunStore


def run_all(
    runs: Sequence[Run], store: RunStore, measure: Measure, workers: int
) -> Iterator[tuple[Run, Result]]:
    """Do runs and store their results.

    Args:
        runs: What to do.
        store: Where each result goes as soon as it is there.
        measure: What trains and measures; with workers, a function that can be imported.
        workers: Processes, each with one torch thread, which import everything once and then do
            run after run. 0: this process, with the threads it has.

    Yields:
        Each run with its result, in the order in which they end.

    Raises:
        UserError: A worker process was killed from outside.
    """
    if workers == 0:
        yield from ((run, _attempt_and_save(run, store, measure)) for run in runs)
        return
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(workers, len(runs)) or 1, multiprocessing.get_context("spawn"), initializer=_prepare
    ) as executor:
        futures = {executor.submit(_attempt_and_save, run, store, measure): run for run in runs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed, perhaps for want of memory. What was done is saved:"
                " the same command goes on from there; give fewer `workers` if it happens again."
            ) from error
        except BaseException:
            # Leaving the block would wait for runs of many minutes.
            executor.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise


def _attempt_and_save(run: Run, store: RunStore, measure: Measure) -> Result:
    result = attempt(run, measure)
    store.save(run, result)
    return result


def _prepare() -> None:
    """Set a new worker up."""
    import torch

    this_program()  # now, while the sources are those that this process has just imported
    flush_denormals()
    keep_freed_memory()
    torch.set_num_threads(1)
    # Ctrl-C reaches the whole group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End an orphan, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
