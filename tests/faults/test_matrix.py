"""Callbacks that measure leave no trace, for each pair of settings of a run."""

from itertools import combinations, product
from pathlib import Path

import pytest

from tests.faults.matrix import LEVELS, Cell, covering_cells, differing, train, try_out


def test_each_two_levels_of_two_settings_come_together() -> None:
    met = {pair for cell in covering_cells() for pair in combinations(_named(cell), 2)}
    for (one, levels), (other, others) in combinations(LEVELS.items(), 2):
        for level, another in product(levels, others):
            assert ((one, level), (other, another)) in met


def _named(cell: Cell) -> list[tuple[str, str]]:
    return list(zip(LEVELS, cell.words, strict=True))


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning")
def test_a_difference_is_seen(tmp_path: Path) -> None:
    cell = covering_cells()[0]
    train(cell, tmp_path / "one", False)
    train(cell, tmp_path / "other", False)
    assert differing(tmp_path / "one", tmp_path / "other") == []
    train(Cell(**{**vars(cell), "dropout": "0.5"}), tmp_path / "third", False)
    found = differing(tmp_path / "one", tmp_path / "third")
    assert any("head.weight" in name for name in found)
    assert any("random/torch" in name for name in found)


@pytest.mark.slow
@pytest.mark.parametrize("cell", covering_cells(), ids=lambda cell: ", ".join(cell.words))
def test_no_trace(cell: Cell, tmp_path: Path) -> None:
    verdict = try_out(cell, tmp_path)
    assert verdict.word in ("same", "refused"), verdict.details
