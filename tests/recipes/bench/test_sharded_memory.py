"""The measurement of shards finds that two processes have half of the weights each."""

import pytest

from recipes.bench import sharded_memory

pytestmark = pytest.mark.slow


def test_two_processes_have_half_of_weights_gradients_and_moments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sharded_memory.main(["--size", "32", "--kernel", "9"])
    one, two = (line.strip("|").split("|") for line in capsys.readouterr().out.splitlines()[2:])
    whole = [float(one[column]) for column in (1, 2)]
    assert whole[1] == pytest.approx(3 * whole[0], abs=0.3)  # gradients and Adam's two moments
    for column, size in zip((1, 2), whole, strict=True):
        parts = [float(cell) for cell in two[column].split(",")]
        assert parts == pytest.approx([size / 2] * 2, abs=0.2)
