"""Norms of two checkouts side by side, `recipes/bench/norm_versions.py`."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lit_intriguing.lipschitz import operator_norm
from tests import oracle_attacks
from tests.pages import ROOT

assert oracle_attacks.BENCH.is_dir()  # importing it lets the script be found
script, another_checkout = map(importlib.import_module, ("norm_versions", "another_checkout"))
CASE = "256 channels in 32 groups, 64 x 64, PyTorch's own"


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported, and how PyTorch counts, whatever a test does."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for setting in ("flush_denormals", "torch.set_num_threads"):
        monkeypatch.setattr(f"norm_versions.{setting}", lambda *_: None)
    yield
    another_checkout._copied.cache_clear()
    for name in [name for name in sys.modules if name.startswith("another_lit_intriguing")]:
        del sys.modules[name]


@pytest.mark.integration
@pytest.mark.usefixtures("unchanged")
def test_a_layer_has_a_line_with_both_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--another", str(ROOT), "--cases", CASE, "--repeat", "1"])
    head, _, row = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert len(cells) == head.count("|") - 1
    expected = operator_norm(*script.layer(CASE, 0)).value
    assert cells[:3] == [CASE, f"{expected:.8g}", f"{expected:.8g}"]


@pytest.mark.parametrize("case", script.CASES)
def test_each_layer_maps_its_images(case: str) -> None:
    convolution, (channels, height, width) = script.layer(case, 0)
    with torch.no_grad():
        assert convolution(torch.zeros(1, channels, height, width)).shape[1] == channels


def test_a_folder_without_the_package_is_no_checkout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main(["--another", str(tmp_path)])
    assert "there is no lit_intriguing/ in it" in capsys.readouterr().err
