"""What callbacks that measure have in common."""

from pathlib import Path

import pytest

from lit_intriguing import cli
from lit_intriguing.callbacks import AdversarialExamples, LipschitzMonitor
from lit_intriguing.callbacks.measuring import Measuring
from lit_intriguing.errors import UserError
from tests.callbacks.test_lipschitz_monitor import lines_of, run


@pytest.mark.parametrize(
    ("other", "both"),
    [
        (LipschitzMonitor(every_n_steps=3), "LipschitzMonitor and LipschitzMonitor"),
        (AdversarialExamples(name="lipschitz"), "LipschitzMonitor and AdversarialExamples"),
    ],
)
def test_two_callbacks_of_one_name_are_refused_before_anything_is_written(
    other: Measuring, both: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"{both} have one name, 'lipschitz'"):
        run(tmp_path, LipschitzMonitor(), other)
    assert not list(tmp_path.rglob("metrics.csv"))


def test_two_monitors_of_different_names_write_to_series_of_their_own(tmp_path: Path) -> None:
    monitors = [LipschitzMonitor(name=name) for name in ("one", "other")]
    run(tmp_path, *monitors, max_epochs=1)
    assert {"one/network", "other/network"} <= lines_of(tmp_path)[0].keys()


def test_the_command_line_says_in_one_line_that_there_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    twice = ["--trainer.callbacks+=LipschitzMonitor"] * 2
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--config=recipes/adv_digits.yaml", *twice])
    assert stopped.value.code == 1
    assert "LipschitzMonitor and LipschitzMonitor have one name" in capsys.readouterr().err
