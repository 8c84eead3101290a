"""`lightning lipschitz` through the real command line."""

import csv
import json
import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing import cli
from lit_intriguing.data import Digits
from lit_intriguing.lipschitz.dense import stack as dense_stack
from lit_intriguing.models import Classifier

WIDTHS = [64, 12, 10]
MODEL = ["--model=Classifier", f"--model.widths={WIDTHS}"]
LIPSCHITZ = ["lipschitz", *MODEL]
SHAPE = "--input_shape=[64]"


class Strange(nn.Module):
    """Something that no rule knows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x.exp(), 1)


def pooled() -> nn.Module:
    """A network with a max pool whose windows overlap, and one whose windows do not."""
    return nn.Sequential(nn.MaxPool2d(3, 2), nn.MaxPool2d(2), nn.Flatten())


class Silent(LightningModule):
    """A module without a forward."""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    torch.save({"state_dict": Classifier(widths=WIDTHS).state_dict()}, tmp_path / "w.ckpt")
    return tmp_path / "w.ckpt"


def rows(folder: str = "lipschitz") -> list[dict[str, str]]:
    with (Path(folder) / "lipschitz.csv").open() as file:
        return list(csv.DictReader(file))


def summary() -> dict[str, object]:
    return json.loads((Path("lipschitz") / "summary.json").read_text())


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 1) -> str:
    """Runs a command that must end with an error of one line; returns the line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert stopped.value.code == status
    assert out == ""
    return err.splitlines()[-1]


def singular_values(weights: Path) -> dict[str, float]:
    state = torch.load(weights, weights_only=True)["state_dict"]
    return {
        name.removesuffix(".weight"): float(torch.linalg.matrix_norm(value.double(), 2))
        for name, value in state.items()
        if value.ndim == 2
    }


def test_each_layer_s_bound_is_written_and_lies_just_above_its_singular_value(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*LIPSCHITZ, SHAPE, f"--ckpt_path={weights}", '--paper_values={"output": 2.5}'])
    out = capsys.readouterr().out
    truth = singular_values(weights)
    found = {row["layer"]: row for row in rows()}
    assert list(found) == list(truth) == ["hidden1.0", "output"]
    for name, row in found.items():
        assert truth[name] <= float(row["bound"]) <= truth[name] * (1 + 1e-9)
        assert row["kind"] in ("exact", "upper")
        assert f"{name} " in out
    assert (found["hidden1.0"]["paper"], found["output"]["paper"]) == ("", "2.5")
    product = summary()["product"]
    assert product["bound"] >= math.prod(truth.values())
    assert product["bound"] <= math.prod(truth.values()) * (1 + 1e-9)
    printed = re.search(r"product bound: ([\d.]+) \(upper\)", out)
    assert printed is not None
    assert product["bound"] <= float(printed[1]) <= product["bound"] * (1 + 1e-5)
    assert (Path("lipschitz") / "lipschitz.png").read_bytes().startswith(b"\x89PNG")


def test_the_saved_configuration_of_a_fit_on_several_processes_is_read_on_one(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = {
        "seed_everything": 0,
        "paper": "1.6%",
        "test_after_fit": True,
        "model": {
            "class_path": "lit_intriguing.models.Classifier",
            "init_args": {"widths": WIDTHS},
        },
        "data": {"class_path": "lit_intriguing.data.Digits"},
        "trainer": {
            "accelerator": "cpu", "strategy": "ddp", "devices": 2, "precision": "bf16-mixed",
            "max_epochs": 3,
        },
        "ckpt_path": None,
        "weights_only": None,
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    cli.main(["lipschitz", "--config=config.yaml", f"--ckpt_path={weights}"])
    assert capsys.readouterr().out.count("product bound") == 1
    assert summary()["input_shape"] == [1, 8, 8]  # the data's
    assert not (tmp_path / "lightning_logs").exists()


def test_a_layer_without_a_rule_is_infinite_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    network = ["--model=Network", f"--model.network={__name__}.Strange"]
    cli.main(["lipschitz", *network, "--input_shape=[5]"])
    out = capsys.readouterr().out
    assert "not bounded: " in out
    assert "exp" in out
    product = summary()["product"]
    assert product["bound"] is None
    assert product["kind"] == "unknown"
    assert "exp" in product["reason"]


def test_max_pools_with_overlapping_windows_get_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["--model=Network", f"--model.network={__name__}.pooled"]
    cli.main(["lipschitz", *network, "--input_shape=[1, 13, 13]"])
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("max pooling"))
    assert line.endswith("here network.0 by 2.")


def normalised() -> nn.Module:
    """A batch normalisation behind a dense layer, and one behind none."""
    return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_what_is_folded_into_the_layer_before_is_counted_and_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["--model=Network", f"--model.network={__name__}.normalised"]
    cli.main(["lipschitz", *network, "--input_shape=[4]"])
    out = capsys.readouterr().out
    assert "batch normalisations bounded together with the layer before: 1." in out
    assert "\nnetwork.2" not in out
    notes = {row["layer"]: row["note"] for row in rows()}
    assert notes["network.2"] == "folded into network.1"


def convolved() -> nn.Module:
    """Two convolutions, too large to be written out as a matrix."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Flatten()
    )


CONVOLVED = [
    "--model=Network",
    f"--model.network={__name__}.convolved",
    "--input_shape=[3, 16, 16]",
]


def test_the_probable_bound_is_shown_with_its_probability_and_is_not_above_the_certified(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seeded = ["lipschitz", *CONVOLVED, "--seed_everything=1"]
    cli.main([*seeded, "--output=certified"])
    capsys.readouterr()
    cli.main([*seeded, "--method=probable"])
    out = capsys.readouterr().out
    assert re.search(r"^network\.0 +Conv2d +3x16x16 +[\d.]+ +probable, 1 - 1e-9$", out, re.M)
    assert re.search(r"^network, product bound: [\d.]+ \(probable, 1 - 2e-9\)$", out, re.M)
    assert [(row["kind"], row["risk"]) for row in rows()] == 2 * [("probable, 1 - 1e-9", "1e-09")]
    assert [row["kind"] for row in rows("certified")] == ["upper", "upper"]
    for probable, certified in zip(rows(), rows("certified"), strict=True):
        assert float(probable["bound"]) <= float(certified["bound"])
    assert summary()["product"]["kind"] == "probable"
    assert summary()["product"]["risk"] == pytest.approx(2e-9)


def test_a_method_that_there_is_not_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = refused([*LIPSCHITZ, SHAPE, "--method=probabel"], capsys, status=2)
    assert "method: expected certified or probable, got 'probabel'." in message


def test_radii_are_not_certified_by_probable_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--radii=[0.1]", "--method=probable"]
    message = refused([*LIPSCHITZ, *DATA, *options], capsys)
    assert "radii are certified by certified bounds, not by probable ones" in message


RANDOM = "neither --model.weights nor --ckpt_path: these are the weights that the network is made"


def dense(weights: str | None = None) -> nn.Module:
    """A dense layer; as torchvision's functions, of weights by a name."""
    return nn.Linear(4, 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], True),
        (["--model.weights=dense.pt"], False),
        (["--model.network.weights=DEFAULT"], False),
    ],
)
def test_a_network_with_random_weights_says_so(
    options: list[str], told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(dense().state_dict(), "dense.pt")
    network = ["--model=Network", f"--model.network={__name__}.dense", *options]
    cli.main(["lipschitz", *network, "--input_shape=[4]"])
    assert (RANDOM in capsys.readouterr().err) is told


def test_only_the_layers_asked_for_are_shown(weights: Path) -> None:
    cli.main([*LIPSCHITZ, SHAPE, f"--ckpt_path={weights}", "--layers=[output]", "--output=one"])
    assert [row["layer"] for row in rows("one")] == ["output"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no data to take the shape of an example from: give it"),
        (["--input_shape=[3, 7]"], "the inputs have 21 features, the network takes 64"),
        ([SHAPE, "--layers=[outptu]"], "Did you mean 'output'?"),
        ([SHAPE, '--paper_values={"conv1": 2.75}'], "no layer 'conv1'"),
        ([SHAPE, '--paper_values={"output": -1}'], "zero or more, not -1.0 for output."),
        ([SHAPE, "--limit=0"], "limit must be at least 1, not 0."),
        ([SHAPE, "--output=taken"], "the output taken is a file: name a folder."),
        (["--input_shape=[]"], "sizes of 1 or more without the batch"),
        ([SHAPE, "--ckpt_path=taken"], "taken cannot be read as a checkpoint: "),
        ([SHAPE, "--ckpt_path=other.ckpt"], "the checkpoint holds a network of no layers"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, "other.ckpt")
    assert message in refused([*LIPSCHITZ, *options], capsys)


def test_a_module_without_a_forward_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(["lipschitz", f"--model={__name__}.Silent", SHAPE], capsys)
    assert "Silent has no forward" in message


DATA = ["--data=lit_intriguing.data.Digits"]


def test_certified_accuracy_falls_from_the_accuracy_as_radii_grow(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    radii = "--radii=[0, 0.03, 0.1, 100]"
    cli.main([*LIPSCHITZ, *DATA, radii, f"--ckpt_path={weights}", "--limit=200"])
    data = Digits()
    data.setup("test")
    loader = data.test_dataloader()
    model = Classifier(widths=WIDTHS).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    with torch.no_grad():
        right = model(loader.inputs[:200]).argmax(1) == loader.labels[:200]
    found = summary()
    assert found["rows"] == 200
    shares = list(found["certified_accuracy"].values())
    assert shares[0] == right.double().mean()
    assert shares[0] > shares[1] > shares[2] > shares[3] == 0
    assert f"certified accuracy at L2 radius 0.03: {shares[1]:.2%} of 200 images" in (
        capsys.readouterr().out
    )


def test_no_radius_is_certified_without_a_bound_of_the_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["--model=Network", f"--model.network={__name__}.Strange", *DATA]
    message = refused(["lipschitz", *network, "--radii=[0.1]"], capsys)
    assert "no radius can be certified" in message
    assert "exp" in message


def test_a_result_is_not_replaced_by_another_one_and_the_same_command_writes_it_again(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*LIPSCHITZ, SHAPE, f"--ckpt_path={weights}"]
    cli.main(words)
    before = (Path("lipschitz") / "lipschitz.csv").read_bytes()
    cli.main(words)
    assert (Path("lipschitz") / "lipschitz.csv").read_bytes() == before
    capsys.readouterr()
    line = refused([*words, "--layers=[output]"], capsys)
    assert "lipschitz holds results of other settings (layers [] -> ['output']): name" in line
    assert (Path("lipschitz") / "lipschitz.csv").read_bytes() == before
    cli.main([*words, "--layers=[output]", "--output=other"])  # as the message says
    assert [row["layer"] for row in rows("other")] == ["output"]


def test_one_layer_s_name_is_a_list_of_one(weights: Path) -> None:
    cli.main([*LIPSCHITZ, SHAPE, f"--ckpt_path={weights}", "--layers=output"])
    assert [row["layer"] for row in rows()] == ["output"]


@pytest.mark.parametrize("path", ["torch.nn.Linear", "torchvision.models.resnet18"])
def test_a_plain_torch_module_is_refused_with_the_class_that_wraps_it(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(["lipschitz", f"--model={path}", "--input_shape=[3]"], capsys, status=2)
    assert error.startswith(
        f"lightning: model: {path} is a torch module, not a LightningModule: wrap it, by --model "
        f"lit_intriguing.models.Network --model.network {path} "
    )


def test_the_advice_for_a_plain_torch_module_works() -> None:
    network = ["--model=lit_intriguing.models.Network", "--model.network=torch.nn.Linear"]
    sizes = ["--model.network.in_features=3", "--model.network.out_features=2"]
    cli.main(["lipschitz", *network, *sizes, "--input_shape=[3]"])
    assert [row["layer"] for row in rows()] == ["network"]


def wrapped() -> nn.Module:
    """A convolution behind a circular padding."""
    return nn.Sequential(nn.CircularPad1d(1), nn.Conv1d(2, 3, 3))


def test_a_convolution_with_the_padding_before_it_is_shown_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["--model=Network", f"--model.network={__name__}.wrapped"]
    cli.main(["lipschitz", *network, "--input_shape=[2, 6]"])
    out = capsys.readouterr().out
    assert "convolutions bounded together with the padding before: 1." in out
    assert any(line.startswith("network.1") for line in out.splitlines())
    assert "with the padding of network.0" in Path("lipschitz/lipschitz.csv").read_text()


def test_a_joint_bound_in_parts_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_stack, "LARGEST", 9)
    widths = ["--model=Classifier", "--model.widths=[4, 5, 6, 3]"]
    cli.main(["lipschitz", *widths, "--input_shape=[4]"])
    out = capsys.readouterr().out
    assert "the joint bound is a product of constants, joint ones of the layers 1 to 2: 15 " in out
