"""The measurement of the topographic penalty prints its share of a step."""

import pytest

from recipes.bench import tica_step

pytestmark = pytest.mark.integration


def test_each_network_has_a_share_of_the_penalty(capsys: pytest.CaptureFixture[str]) -> None:
    tica_step.main(["--turns", "1", "--maps", "2", "--batch_size", "2", "--pool", "3"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| 1", "| 2"]
    for line in lines:
        step, penalty, share = (float(cell) for cell in line.strip("|").split("|")[2:5])
        assert 0 < penalty < step
        assert share == pytest.approx(100 * penalty / step, rel=0.1, abs=0.2)
