import io

from lit_intriguing.training_runs.progress import Progress
from lit_intriguing.training_runs.store import Result, Run, Stage

TUNE, FINAL = Run(Stage.TUNE, {}), Run(Stage.FINAL, {})


def progress(**changes):
    values = {"totals": {Stage.TUNE: 2, Stage.FINAL: 4}, "workers": 2, "stream": io.StringIO()}
    return Progress(**(values | changes))


def test_time_left_counts_each_stage_by_its_own_mean_and_shares_it_among_workers():
    one = progress()
    one.add(TUNE, Result(seconds=10, error=0.1))
    assert one.left() == (10 + 4 * 10) / 2
    one.add(FINAL, Result(seconds=40, error=0.1))
    assert one.left() == (10 + 3 * 40) / 2


def test_a_stored_result_counts_without_a_line():
    one = progress()
    one.add(TUNE, Result(seconds=10, error=0.1), reused=True)
    assert one.stream.getvalue() == ""
    assert one.line() == "1 of 6 runs, 1 from before, time left: 25 s"


def test_failures_are_counted():
    one = progress()
    one.add(TUNE, Result(seconds=10, failure="no"))
    assert one.stream.getvalue() == "1 of 6 runs, 1 failed, time left: 25 s\n"


def test_a_terminals_line_is_rewritten():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    one = progress(stream=Terminal())
    one.add(TUNE, Result(seconds=10, error=0.1))
    one.add(TUNE, Result(seconds=10, error=0.1))
    one.close()
    text = one.stream.getvalue()
    assert text.count("\n") == 1
    assert text.count("\r") == 2


def test_before_the_first_result_the_time_is_unknown():
    assert progress().line() == "0 of 6 runs, time left: unknown"
