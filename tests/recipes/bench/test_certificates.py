"""The search and the table of `recipes/bench/certificates.py`, on small networks."""

import importlib

import pytest
import torch
from torch import nn

from lit_intriguing.errors import UsageError
from lit_intriguing.lipschitz.dense.stack import stack_norm
from tests import oracle_attacks

assert oracle_attacks.BENCH.is_dir()  # importing it lets the benchmark's parts be found
script = importlib.import_module("certificates")


def network(activation: type[nn.Module]) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(9, 6), activation(), nn.Linear(6, 5), activation(),
            nn.Linear(5, 3),
        )  # fmt: skip


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid])
def test_the_search_beats_random_points_and_stays_below_the_bound(
    activation: type[nn.Module],
) -> None:
    model = network(activation).requires_grad_(False)
    linears, slopes = script.stack(model)
    bound = stack_norm([linear.weight for linear in linears], slopes).value
    x = torch.randn(50, 9, generator=torch.Generator().manual_seed(1))
    single = model.double()
    drawn = max(
        float(torch.linalg.matrix_norm(torch.func.jacrev(single)(row[None].double())[0, :, 0], 2))
        for row in x
    )
    found = script.Search(linears, slopes).run(x, 60)
    assert drawn * (1 - 1e-9) <= found <= bound


def test_other_layers_are_refused() -> None:
    with pytest.raises(UsageError, match="only networks of dense layers"):
        script.stack(nn.Sequential(nn.Conv2d(1, 1, 3)))


def test_the_report_counts_radii_beyond_the_attack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network(nn.ReLU).requires_grad_(False)
    x = torch.rand(4, 9, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    monkeypatch.setattr(script, "attack_distances", lambda *_: torch.full((4,), 1e-3))
    script.radii_beside_the_attack(model, x, y, {"sound": 1e9, "broken": 1e-9})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("for 0 of 4")
    assert lines[1].endswith("for 4 of 4")
    assert lines[2] == "  attack: median distance 0.0010, 4 of 4 found"
