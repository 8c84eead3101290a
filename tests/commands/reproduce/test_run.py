"""A reproduction: in order, each step once, none lost by another's failure, resumable."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lit_intriguing import cli
from lit_intriguing.commands.reproduce.command import parse
from lit_intriguing.commands.reproduce.options import Reproduction
from lit_intriguing.commands.reproduce.run import (
    ReproductionRun,
    first_ready,
    last_line,
    time_left,
    why_not,
)
from lit_intriguing.commands.reproduce.runners import OwnProcess, in_this_process
from lit_intriguing.configuration import shipped
from lit_intriguing.data_folder import DATA_VARIABLE
from lit_intriguing.errors import InterruptedRunError, UsageError, UserError
from lit_intriguing.paper.claims import read_claims
from lit_intriguing.paper.plan import FULL, QUICK, Plan, Step, read_plan
from lit_intriguing.paper.records import FOLDER, Record, Records

CLAIMS = len(read_claims(shipped.results()))
STEPS = read_plan(shipped.results(), QUICK).steps


class Runner:
    """Runs nothing; leaves each step's folder, with a checkpoint for trainings.

    Args:
        failing: Names of steps that fail.
        stopped: Name of the step at which the user stops.
        late: Whether a training that fails has left the checkpoint of an epoch before.
    """

    def __init__(self, *failing: str, stopped: str = "", late: bool = False) -> None:
        self.failing, self.stopped, self.late = failing, stopped, late
        self.ran: list[str] = []

    def __call__(self, words: list[str], folder: Path, log: Path) -> int:
        (step,) = [one for one in STEPS if one.name == log.stem]
        assert words == step.words(folder)
        self.ran.append(step.name)
        (folder / step.folder).mkdir(parents=True, exist_ok=True)
        log.write_text("much\nlightning: it went wrong\n\n")
        if step.name == self.stopped:
            return InterruptedRunError.status
        fails = step.name in self.failing
        if words[0] == "fit" and (self.late or not fails):
            (folder / step.folder / "last.ckpt").touch()
        return int(fails)


def quick(output: Path, runner: Runner) -> None:
    Reproduction(quick=True, output=str(output)).run(runner)


def test_all_steps_run_in_their_order_and_then_the_report_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = Runner()
    quick(tmp_path / "out", runner)
    assert runner.ran == [step.name for step in STEPS]
    assert (tmp_path / "out" / "report.html").is_file()
    out, err = capsys.readouterr()
    assert "report.html: " in out
    first = err.splitlines()[0]
    assert first.startswith(f"step 1 of {len(STEPS)}, {STEPS[0].title}; time left: ")


def test_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick(tmp_path, Runner())
    again = Runner()
    quick(tmp_path, again)
    assert again.ran == []
    assert f"{len(STEPS)} of {len(STEPS)} steps are done from before" in capsys.readouterr().err


def test_a_failure_loses_no_other_step_and_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        quick(tmp_path, Runner("table2_digits", "units_digits"))
    text = str(raised.value)
    assert text.startswith(f"2 of {len(STEPS)} steps failed:\n  table2_digits: it went wrong\n")
    assert "lightning transfer --config recipes/table2_digits.yaml --show 8" in text
    assert "it went wrong" in (tmp_path / "report.html").read_text()
    again = Runner()
    quick(tmp_path, again)
    assert again.ran == ["table2_digits", "units_digits"]
    assert "it went wrong" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("late", [False, True])
def test_what_needs_a_failed_training_does_not_begin_and_says_why(
    tmp_path: Path, late: bool
) -> None:
    runner = Runner("adv_digits_0", late=late)
    said = "attack_digits: the step adv_digits_0, whose checkpoint it takes, failed\n"
    with pytest.raises(UserError, match=said):
        quick(tmp_path, runner)
    assert "attack_digits" not in runner.ran
    assert runner.ran[-1] == STEPS[-1].name
    again = Runner()
    quick(tmp_path, again)
    assert again.ran == ["adv_digits_0", "attack_digits", "lipschitz_digits"]


def test_a_stopped_one_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError, match="The same command goes on"):
        quick(tmp_path, Runner(stopped=STEPS[4].name))
    again = Runner()
    quick(tmp_path, again)
    assert again.ran == [step.name for step in STEPS[4:]]


def test_a_folder_of_the_other_plan_and_a_file_are_refused(tmp_path: Path) -> None:
    quick(tmp_path / "out", Runner())
    with pytest.raises(UsageError, match=r"holds a quick reproduction: .* or add --quick"):
        Reproduction(output=str(tmp_path / "out")).run(Runner())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        quick(tmp_path / "file", Runner())


def test_two_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom lit_intriguing.splits import locks\n"
        "locks.hold(Path(sys.argv[1]))\nprint(flush=True)\ntime.sleep(60)"
    )
    place = tmp_path / FOLDER
    place.mkdir()
    other = subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    try:
        with pytest.raises(UserError, match="another run works in"):
            quick(tmp_path, Runner())
    finally:
        other.kill()
        other.communicate()


def test_results_of_other_sources_are_used_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(tmp_path, Runner())
    records = Records(tmp_path)
    old = records.load(STEPS[0])
    assert old is not None
    records.save(STEPS[0], Record(**{**vars(old), "program": {"version": "0", "sources": "x"}}))
    quick(tmp_path, Runner())
    assert "made by other sources of lit-intriguing" in capsys.readouterr().err


def test_a_relative_data_folder_is_found_from_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, "data")
    seen = []

    class Looking(Runner):
        def __call__(self, words: list[str], folder: Path, log: Path) -> int:
            seen.append(os.environ[DATA_VARIABLE])
            return super().__call__(words, folder, log)

    quick(tmp_path / "out", Looking())
    assert set(seen) == {str(tmp_path / "data")}
    assert os.environ[DATA_VARIABLE] == "data"


def step(name: str, minutes: float) -> Step:
    return Step(name, name, ("fit",), name, minutes, name)


def test_time_left_is_that_of_the_pages_at_the_speed_of_this_machine() -> None:
    rest = [step("a", 3), step("b", 2)]
    assert time_left(rest, []) == 300
    done = Record((), 0, 120.0, "", {}, {})
    assert time_left(rest, [(step("c", 1), done)]) == 600


@pytest.mark.parametrize(
    ("text", "last"),
    [("a\nlightning: b\n\n", "b"), ("", "it printed nothing"), ("x" * 400, "x" * 300 + " ...")],
)
def test_the_reason_is_the_last_line(tmp_path: Path, text: str, last: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_line(tmp_path / "log") == last


NEEDY = [
    Step("a", "a", ("transfer",), "transfer/a", 1, "a"),
    Step("of a", "of a", ("probe", "--models_dir", "transfer/a/models"), "b", 1, "of a"),
    Step("ab", "ab", ("fit", "--save_dir", "transfer/ab"), "transfer/ab", 1, "ab"),
    Step("of ab", "of ab", ("attack", "--ckpt_path", "{ckpt:transfer/ab}"), "c", 1, "of ab"),
]


def test_a_step_begins_with_the_checkpoints_that_trainings_have_ended_with() -> None:
    a, of_a, ab, of_ab = NEEDY
    words = ["attack", "--ckpt_path", "transfer/ab/last.ckpt"]
    assert why_not(of_ab, words, [a, of_a]) == ""
    assert why_not(of_ab, words, [ab]) == "the step ab, whose checkpoint it takes, failed"
    lacking = [*words[:2], "<.ckpt of transfer/ab>"]
    assert why_not(of_ab, lacking, []) == "there is no checkpoint in transfer/ab"


def test_a_step_begins_with_the_models_that_a_failed_study_has_kept() -> None:
    a, of_a, _, _ = NEEDY
    assert why_not(of_a, of_a.command, [a]) == ""


def test_a_step_waits_for_what_an_earlier_one_has_still_to_make() -> None:
    a, of_a, ab, of_ab = NEEDY
    assert first_ready(NEEDY, NEEDY) is a
    assert first_ready([of_a, ab, of_ab], NEEDY) is ab
    assert first_ready([of_a, of_ab], NEEDY) is None
    assert first_ready([of_a, of_ab], [of_a, ab, of_ab]) is of_a
    assert first_ready([of_ab], [of_a, of_ab]) is of_ab
    assert first_ready([], [a]) is None


class Sleeper(OwnProcess):
    """Stands in for a command: sleeps, and leaves a checkpoint."""

    at_a_time: ClassVar[list[int]] = []
    running: ClassVar[int] = 0

    def __init__(self, words: list[str], folder: Path, log: Path) -> None:
        (step,) = [one for one in NEEDY if one.name == log.stem]
        (folder / step.folder).mkdir(parents=True)
        (folder / step.folder / "last.ckpt").touch()
        log.touch()
        self._process = subprocess.Popen(["sleep", "0.3"])
        type(self).running += 1
        self.at_a_time.append(self.running)

    def status(self, seconds: float) -> int | None:
        status = super().status(seconds)
        type(self).running -= status is not None
        return status


def test_two_steps_run_at_a_time_in_processes_of_their_own(tmp_path: Path) -> None:
    plan = Plan(FULL, (), tuple(NEEDY), {})
    assert ReproductionRun(plan, tmp_path, Sleeper, workers=2).all_steps() == []
    assert len(Sleeper.at_a_time) == 4
    assert max(Sleeper.at_a_time) == 2
    assert all(Records(tmp_path).done(step) for step in NEEDY)


def test_all_processes_are_ended_when_one_is_stopped_and_what_is_done_stays(
    tmp_path: Path,
) -> None:
    class Stopped(Sleeper):
        def __init__(self, words: list[str], folder: Path, log: Path) -> None:
            super().__init__(words, folder, log)
            script = {"a": "sleep 600", "ab": f"sleep 1; exit {InterruptedRunError.status}"}
            self._process.wait()
            self._process = subprocess.Popen(["sh", "-c", script[log.stem]])
            started.append(self._process)

    started: list[subprocess.Popen[bytes]] = []
    plan = Plan(FULL, (), tuple(NEEDY), {})
    start = time.monotonic()
    with pytest.raises(InterruptedRunError, match="goes on from here"):
        ReproductionRun(plan, tmp_path, Stopped, workers=2).all_steps()
    assert time.monotonic() - start < 20
    assert [one.poll() is not None for one in started] == [True, True]
    assert not Records(tmp_path).load(NEEDY[0])


@pytest.mark.integration
def test_sigterm_ends_a_step_in_this_process_and_this_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from lit_intriguing import cli\n"
        "from lit_intriguing.commands.reproduce.runners import asked_to_end, in_this_process\n"
        "cli.main = lambda words: os.kill(os.getpid(), signal.SIGTERM)\n"
        "with asked_to_end():\n    in_this_process([], Path('.'), Path('log'))\nprint('goes on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, ""), done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "at least 1, not 0"),
        ({"workers": 2, "quick": True}, "leave out --workers"),
        ({"further": True, "quick": True}, "leave out --further"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        Reproduction(output=str(tmp_path), **options).run(Runner())


def test_further_studies_run_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plans: list[list[str]] = []
    monkeypatch.setattr(
        ReproductionRun,
        "all_steps",
        lambda run: plans.append([one.name for one in run.plan.steps]) or [],
    )
    for further in (False, True):
        Reproduction(output=str(tmp_path), further=further).run()
    of_the_paper, all_of_them = plans
    assert set(all_of_them) - set(of_the_paper) == {
        "cars_cifar10",
        "adv_mnist_layers",
        "probe_mnist",
    }
    page = (tmp_path / "report.html").read_text()
    assert page.count("Goes further than the paper, and has left no results here.") == 3
    assert "Probing <small>(beyond the paper)</small>" in page
    claims, _, rest = page.partition('<h2 id="table-1"')
    assert "adv_mnist_ablation.yaml" in claims
    assert "adv_mnist_layers.yaml" not in claims
    assert "adv_mnist_layers.yaml" in rest


def test_quick_needs_no_value() -> None:
    assert parse(["--quick"]).quick
    assert parse(["--quick", "--output", "x"]) == Reproduction(True, "x")
    assert not parse(["--quick", "false"]).quick
    assert not parse([]).quick
    assert parse(["--further", "--workers", "2"]) == Reproduction(workers=2, further=True)
    assert not parse([]).further


def in_own_process(words: list[str], folder: Path, log: Path) -> int | None:
    return OwnProcess(words, folder, log).status(60)


@pytest.mark.parametrize(
    "runner", [in_this_process, pytest.param(in_own_process, marks=pytest.mark.integration)]
)
def test_a_command_runs_in_its_folder_and_what_it_prints_is_kept(
    runner: Runner, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log, here = tmp_path / "log", Path.cwd()
    assert runner(["report", "."], tmp_path, log) == 0
    assert log.read_text().startswith("report.html: ")
    assert (tmp_path / "report.html").is_file()
    assert runner(["report", "nowhere"], tmp_path, log) == UsageError.status
    assert "no folder nowhere" in last_line(log)
    assert Path.cwd() == here
    assert capfd.readouterr().out == ""


@pytest.mark.integration
def test_the_quick_run_makes_a_report_of_the_digits(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lit_intriguing", "reproduce", "--quick"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "reproduction" / "report.html").read_text()
    assert f"results for 9 of {CLAIMS} claims" in text
    assert "cannot be read" not in text
    # Heat map, digits, attack, bounds, ablation, four of units, two curves of six trainings.
    assert text.count("<img") == 21
    assert len(text) < 15_000_000
    records = [Records(tmp_path / "reproduction").load(one) for one in STEPS]
    assert [one.status for one in records if one] == [0] * len(STEPS)


@pytest.mark.slow
def test_a_quick_run_that_is_stopped_goes_on(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lit_intriguing", "reproduce", "--quick", "--output", "out"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        # A job that a shell started in the background ignores it.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    first = tmp_path / "out" / FOLDER / f"{STEPS[0].name}.json"
    while not first.is_file():
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(1)  # within the second step
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == InterruptedRunError.status
    assert error.splitlines()[-1].startswith("lightning: interrupted.")
    before = first.read_bytes()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert first.read_bytes() == before
    assert json.loads(first.read_text())["status"] == 0
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.integration
def test_a_step_in_its_own_process_ends_with_this_one(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from lit_intriguing.commands.reproduce.run import ReproductionRun\n"
        "from lit_intriguing.commands.reproduce.runners import OwnProcess\n"
        "from lit_intriguing.paper.plan import Plan, Step\n"
        "step = Step('step', 'A step', tuple(sys.argv[2:]), 'nowhere', 1, 'step')\n"
        "ReproductionRun(Plan('full', (), (step,), {}), Path(sys.argv[1]), OwnProcess).all_steps()"
    )
    words = ["fit", "--config", "adv_digits", "--trainer.max_epochs", "100000"]
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path, *words])
    metrics, log = tmp_path / "lightning_logs" / "version_0", tmp_path / FOLDER / "step.txt"
    while not metrics.is_dir():
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    size = log.stat().st_size
    time.sleep(1.5)
    assert log.stat().st_size == size  # nobody writes any more


def test_a_wrong_option_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["reproduce", "--quik"])
    assert stopped.value.code == UsageError.status
    assert "quick" in capsys.readouterr().err


def test_what_steps_will_lack_is_said_before_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "there").mkdir(parents=True)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    needy = [
        replace(STEPS[0], name="a", modules=("torch",), installed_by="pip install torch"),
        replace(STEPS[0], name="b", modules=("torch", "nowhere"), installed_by="pip install it"),
        replace(STEPS[0], name="c", data=("there", "elsewhere/x")),
        replace(STEPS[0], name="d", data=("elsewhere/x",)),
    ]
    plan = Plan(QUICK, (), tuple(needy), {})
    ReproductionRun(plan, tmp_path / "out", lambda words, folder, log: 0).all_steps()
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert notes == [
        "note: steps will fail without this: pip install it (for b)",
        "note: steps will fail without this: put elsewhere/x into $LIT_INTRIGUING_DATA (for c, d)",
    ]
