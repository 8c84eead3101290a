"""The recipes of table 5: each makes its network and names layers that it has."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lit_intriguing import cli
from lit_intriguing.models import AlexNet

RECIPES = Path(__file__).parents[3] / "recipes"
NAMES = ["table5", *(f"table5/{path.stem}" for path in sorted((RECIPES / "table5").glob("*.yaml")))]
PAPER = dict(
    zip(
        [f"network.{name}" for name in ("conv1", "conv2", "conv3", "conv4", "conv5")]
        + [f"network.fc{i}" for i in (1, 2, 3)],
        [2.75, 10, 7, 7.5, 11, 3.12, 4, 4],
        strict=True,
    )
)
RANDOM = [
    "--model.network={class_path: torchvision.models.alexnet, init_args: {weights: null}}",
]


class Shallow(nn.Module):
    """The eight layers' names, with little in them."""

    def __init__(self) -> None:
        super().__init__()
        for name in PAPER:
            self.add_module(name.removeprefix("network."), nn.Conv2d(1, 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def recipe(name: str) -> dict[str, object]:
    return yaml.safe_load((RECIPES / f"{name}.yaml").read_text())


def test_there_is_a_recipe_for_each_network() -> None:
    networks = [
        "alexnet_2012", "alexnet_torchvision", "efficientnet_lite0", "resnet50", "squeezenet",
    ]  # fmt: skip
    assert ["table5", *(f"table5/{name}" for name in networks)] == NAMES


@pytest.mark.parametrize("name", ["table5", "table5/alexnet_2012"])
def test_the_paper_s_values_stand_beside_the_layers_of_the_alexnet_of_2012(name: str) -> None:
    assert recipe(name)["paper_values"] == PAPER
    with torch.device("meta"):
        layers = dict(AlexNet().named_modules())
    assert {key.removeprefix("network.") for key in PAPER} <= layers.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_gives_the_recipe_s_command(name: str) -> None:
    page = (RECIPES / "table5.md").read_text()
    assert f"lightning lipschitz --config recipes/{name}.yaml" in page


@pytest.mark.parametrize("name", ["table5", "table5/alexnet_2012"])
def test_the_recipe_runs_on_a_network_with_the_same_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [f"--model.network={__name__}.Shallow", "--input_shape=[1, 6, 6]"]
    cli.main(["lipschitz", f"--config=recipes/{name}.yaml", *small])
    out = capsys.readouterr().out
    for layer, value in PAPER.items():
        assert re.search(rf"^{layer} +Conv2d +1x6x6 +[\d.]+ +\w+ +{float(value)}$", out, re.M)
    assert (tmp_path / name / "lipschitz.csv").is_file()


def test_weights_that_are_nowhere_are_missed_and_not_replaced_by_random_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        cli.main(["lipschitz", "--config=recipes/table5/squeezenet.yaml"])
    assert "no checkpoint imagenet/squeezenet1_0_rgb01.pth" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_the_recipe_s_network_is_bounded(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "squeezenet" in name:
        request.getfixturevalue("data_dir")
    random = RANDOM if "torchvision" in name else []
    cli.main(["lipschitz", f"--config=recipes/{name}.yaml", *random])
    assert "not bounded" not in capsys.readouterr().out
