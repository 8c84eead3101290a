"""The table of joint bounds by width, `recipes/bench/stack_widths.py`, of narrow stacks."""

import importlib

import pytest

from lit_intriguing.lipschitz import network_norm
from lit_intriguing.lipschitz.dense import stack
from tests import oracle_attacks

assert oracle_attacks.BENCH.is_dir()  # importing it lets the script be found
script = importlib.import_module("stack_widths")


@pytest.mark.integration
def test_each_width_has_a_row_with_its_own_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--widths", "12", "20", "--seed", "3"])
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["12", "20"]
    for width, row in zip((12, 20), rows, strict=True):
        found = network_norm(script.network(width, 3), (784,))
        assert float(row[1]) == pytest.approx(found.product.value, abs=6e-4)
        assert float(row[2]) == pytest.approx(found.norm.value, abs=6e-4)
        assert float(row[2]) < float(row[1])
        assert 0 < float(row[4]) < 10


def test_a_bound_in_parts_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LARGEST", 50)
    found = script.measure(20, 0, 1)
    assert "inputs and hidden units are more than the 50" in found.reason
    assert script.line(20, found).startswith("| 20, in parts | ")
    assert script.line(2700, found).startswith("| 2,700, in parts | ")
