"""The benchmark of norms, `recipes/bench/lipschitz.py`, on small layers."""

import csv
import importlib
import sys
from pathlib import Path

import pytest
import torch

from tests import oracle_attacks

assert oracle_attacks.BENCH.is_dir()  # importing it lets the benchmark's parts be found
script, layers, methods, table, truth = (
    importlib.import_module(name)
    for name in (
        "lipschitz",
        *(f"lipschitz_bench.{part}" for part in ("layers", "methods", "table", "truth")),
    )
)

SMALL = list(layers.problems(["small"], ["random", "peaked"], seed=0))


@pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.name)
def test_lanczos_and_the_written_out_matrix_agree_on_the_truth(problem) -> None:
    found = truth.lanczos(*truth.operations(problem), problem.shape)
    assert found == pytest.approx(truth.norm(problem), rel=1e-8)


@pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.name)
def test_the_adjoint_is_the_layer_s(problem) -> None:
    apply, adjoint = truth.operations(problem)
    x = torch.randn(1, *problem.shape, dtype=torch.float64)
    y = torch.randn_like(apply(x))
    assert torch.allclose((apply(x) * y).sum(), (x * adjoint(y)).sum())


def test_our_bound_is_never_below_the_truth_and_the_reshaped_kernel_s_norm_is() -> None:
    bounds = {name: methods.METHODS[name].load() for name in ("lit-intriguing", "spectral_norm")}
    found = [one for problem in SMALL for one in script.measure(problem, bounds)]
    ours = [one.ratio for one in found if one.method == "lit-intriguing"]
    assert min(ours) >= 1 - 1e-12
    assert max(ours) < 1.01
    assert sum(one.below for one in found if one.method == "spectral_norm") >= 8


def test_a_peaked_kernel_has_a_larger_norm_than_a_random_one() -> None:
    for random, peaked in zip(SMALL[::2], SMALL[1::2], strict=True):
        assert truth.norm(peaked) > 1.5 * truth.norm(random)


def test_of_large_layers_the_truth_is_a_close_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = truth.norm(SMALL[0])
    assert not truth.is_least(SMALL[0])
    monkeypatch.setattr(truth, "MUCH", 0)
    assert truth.is_least(SMALL[0])
    least = truth.norm(SMALL[0])
    assert 0.999 * exact <= least <= exact * (1 + 1e-12)
    found = script.measure(SMALL[0], {"exact": lambda problem: exact})
    assert "| at least " in table.lines(found)
    assert "| at most 1.000" in table.lines(found)


def test_what_is_not_installed_is_named_and_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "deel", None)
    assert list(script.installed(["torchlip", "power iteration"])) == ["power iteration"]
    assert "torchlip: skipped" in capsys.readouterr().err


def test_a_failing_method_leaves_the_others_their_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(problem: object) -> float:
        raise RuntimeError("no such kernel")

    found = script.measure(SMALL[0], {"broken": broken, "good": truth.norm})
    assert [one.method for one in found] == ["good"]
    assert "failed, RuntimeError: no such kernel" in capsys.readouterr().err


def test_tables_and_file_hold_the_numbers(tmp_path: Path) -> None:
    found = [table.Measured("a", "m", 2.0, 1.0, 0.5), table.Measured("a", "n", 2.0, 2.0, 0.1)]
    assert "| a | 2 | 0.5000 below (0.5 s) | 1.0000 (0.1 s) |" in table.lines(found)
    line = next(x for x in table.totals(found, {"m": "norm"}).splitlines() if x.startswith("| m "))
    assert line == "| m | norm | 1 | 1 | 0.5000 | 0.5000 | 0.5000 | 0.5 |"
    for one in found:
        table.write(tmp_path / "found.csv", [one])
    with (tmp_path / "found.csv").open() as file:
        assert [row["value"] for row in csv.DictReader(file)] == ["1.0", "2.0"]


def test_orthogonium_gets_as_many_iterations_as_are_bearable() -> None:
    assert methods.gram_steps(torch.nn.Conv2d(8, 8, 3)) == methods.GRAM_STEPS
    assert methods.gram_steps(torch.nn.Conv2d(512, 512, 11)) == 1
