import os

import pytest

from lit_intriguing.errors import UserError
from lit_intriguing.training_runs.store import Run, RunStore, Stage
from lit_intriguing.training_runs.workers import run_all

pytestmark = pytest.mark.integration


def threads(run):
    import torch

    if run.config["n"] == 1:
        raise ValueError("boom")
    return torch.get_num_threads() + os.getpid() / 1e9


def killed(run):
    os._exit(3)


def test_workers_do_all_runs_with_one_thread_and_survive_a_failure(tmp_path):
    store = RunStore(tmp_path)
    runs = [Run(Stage.TUNE, {"n": n}) for n in range(3)]
    results = {run.config["n"]: result for run, result in run_all(runs, store, threads, 1)}
    assert results[1].failure == "ValueError: boom"
    assert int(results[0].error) == 1
    # One process did both, and it was another one than this.
    assert results[0].error == results[2].error != 1 + os.getpid() / 1e9
    assert store.done(runs[0]).error == results[0].error


def test_a_killed_worker_is_an_error_that_tells_the_way_on(tmp_path):
    with pytest.raises(UserError, match="the same command goes on from there"):
        list(run_all([Run(Stage.TUNE, {})], RunStore(tmp_path), killed, 1))
