import json

from lit_intriguing.training_runs.provenance import this_program
from lit_intriguing.training_runs.store import Result, Run, RunStore, Stage

RUN = Run(Stage.TUNE, {"a": {"x": 1, "y": 2}})


def test_the_key_depends_on_stage_and_values_and_not_on_the_order_of_keys():
    assert Run(Stage.TUNE, {"a": {"y": 2, "x": 1}}).key == RUN.key
    assert Run(Stage.FINAL, RUN.config).key != RUN.key
    assert Run(Stage.TUNE, {"a": {"x": 1, "y": 3}}).key != RUN.key


def test_a_result_comes_back_and_its_file_tells_the_configuration(tmp_path):
    store = RunStore(tmp_path / "runs")
    store.save(RUN, Result(seconds=1.234, error=0.0108))
    assert store.done(RUN) == Result(seconds=1.23, error=0.0108)
    assert json.loads(store.path(RUN).read_text())["config"] == RUN.config
    assert [path.suffix for path in store.folder.iterdir()] == [".json"]


def test_a_failed_run_is_kept_but_not_done(tmp_path):
    store = RunStore(tmp_path)
    store.save(RUN, Result(seconds=1, failure="ValueError: no"))
    assert store.done(RUN) is None
    assert store.load(RUN) == Result(seconds=1, failure="ValueError: no")


def test_a_missing_or_broken_file_is_no_result(tmp_path):
    store = RunStore(tmp_path)
    assert store.load(RUN) is None
    store.path(RUN).write_text("{")
    assert store.load(RUN) is None
    store.path(RUN).write_text('{"result": {"unknown": 1}}')
    assert store.load(RUN) is None


def test_a_result_tells_the_program_that_made_it(tmp_path):
    store = RunStore(tmp_path)
    store.save(RUN, Result(seconds=1, error=0.1))
    assert json.loads(store.path(RUN).read_text())["program"] == this_program()
    assert not store.foreign(RUN)


def test_a_result_of_other_or_unknown_sources_is_foreign_and_not_done_where_it_is_redone(tmp_path):
    store = RunStore(tmp_path)
    for program in ({"version": "0.1.0", "sources": "other"}, None):
        content = {"result": {"seconds": 1, "error": 0.1}, "program": program}
        store.path(RUN).write_text(json.dumps(content))
        assert store.foreign(RUN)
        assert store.done(RUN) == Result(seconds=1, error=0.1)
        assert RunStore(tmp_path, redo=True).done(RUN) is None
