import pytest
from torch import nn

from lit_intriguing.commands.lipschitz.progress import LayerProgress
from lit_intriguing.lipschitz.network import network_norm

MODEL = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def test_layers_with_weights_are_counted_and_bounded_as_without_a_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LayerProgress(MODEL, delay=1e-9) as progress:
        progress._bar.mininterval = 0
        found = network_norm(MODEL, (4,), layer_norm=progress.norm)
    assert found == network_norm(MODEL, (4,))
    assert "2/2" in capsys.readouterr().err


def test_what_is_quick_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with LayerProgress(MODEL) as progress:
        network_norm(MODEL, (4,), layer_norm=progress.norm)
    assert capsys.readouterr().err == ""
