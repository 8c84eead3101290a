"""The measurement of untied filters prints a ratio for each case and memory."""

import pytest

from recipes.bench import untied_filters

pytestmark = pytest.mark.integration


def test_each_case_has_a_ratio_for_each_memory(capsys: pytest.CaptureFixture[str]) -> None:
    untied_filters.main(["--turns", "1", "--memory", "1", "8"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "weights" in line]
    assert len(lines) == 4
    ratios = [float(cell) for line in lines for cell in line.strip("|").split("|")[3:]]
    assert len(ratios) == 8
    assert min(ratios) > 0
