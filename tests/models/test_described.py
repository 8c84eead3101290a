"""A checkpoint makes its model again; where it cannot, it says why and what to do."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

import lit_intriguing
from lit_intriguing.configuration.instances import instance
from lit_intriguing.errors import UserError
from lit_intriguing.models import AlexNet, Classifier, Network, SparseAutoencoder
from lit_intriguing.models.described import FORMAT, KEY, plain
from lit_intriguing.models.weights import read_checkpoint

X = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))


def saved(model: LightningModule, folder: Path) -> Path:
    """Writes a checkpoint as a Trainer does."""
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder,
        enable_model_summary=False, barebones=False,
    )  # fmt: skip
    trainer.strategy.connect(model)
    file = folder / "model.ckpt"
    trainer.save_checkpoint(file, weights_only=True)
    return file


def without(file: Path, *keys: str) -> Path:
    """Makes of it a checkpoint as it was before it said how its model was made."""
    content = {k: v for k, v in read_checkpoint(file).items() if k not in keys}
    torch.save(content, file)
    return file


class Deeper(Classifier):
    """A user's own network."""

    def __init__(self, depth: int = 1, slope: float = 0.1) -> None:
        super().__init__((5, *[4] * depth, 3), activation=partial(nn.LeakyReLU, slope))


@pytest.mark.parametrize(
    "model",
    [
        lambda: Classifier((5, 4, 3), nn.Sigmoid, decay=[1e-3, 1e-4], dropout=[0.1, 0.2]),
        lambda: Classifier([5, 3], bias=False, init=lambda weight: nn.init.constant_(weight, 0.5)),
        lambda: Classifier((5, 4, 3), partial(nn.LeakyReLU, 0.3)),
        lambda: Deeper(2),
        lambda: SparseAutoencoder(5, 7, target=0.2),
        lambda: Network(Classifier((5, 4, 3), nn.Tanh)),
    ],
    ids=["sigmoids", "softmax", "partial", "subclass", "autoencoder", "network"],
)
def test_a_model_is_made_again_from_its_checkpoint_alone(model, tmp_path):
    made = model().eval()
    again = type(made).load_from_checkpoint(saved(made, tmp_path)).eval()
    assert torch.equal(again(X), made(X))
    assert str(again) == str(made)
    for name in ("widths", "decay", "target", "sparsity"):
        assert getattr(again, name, None) == getattr(made, name, None)


def test_the_optimiser_is_made_again_with_its_numbers(tmp_path):
    made = Classifier((5, 3), optimizer=partial(torch.optim.SGD, lr=0.25, momentum=0.5))
    again = Classifier.load_from_checkpoint(saved(made, tmp_path))
    defaults = again.configure_optimizers().defaults
    assert (defaults["lr"], defaults["momentum"]) == (0.25, 0.5)


def test_a_parameter_given_in_loading_wins(tmp_path):
    file = saved(Classifier((5, 3), decay=0.5), tmp_path)
    assert Classifier.load_from_checkpoint(file, decay=0.25).decay == [0.25]


def test_a_checkpoint_has_our_version_and_plain_values_only(tmp_path):
    content = read_checkpoint(saved(Classifier((5, 3), nn.Tanh), tmp_path))  # weights_only
    assert content[KEY] == {"version": lit_intriguing.__version__, "format": FORMAT}
    assert (
        content["hyper_parameters"]["_class_path"] == "lit_intriguing.models.classifier.Classifier"
    )
    assert content["hyper_parameters"]["activation"] == "torch.nn.modules.activation.Tanh"


def test_a_function_without_a_name_is_asked_for_when_it_is_needed(tmp_path):
    step = lambda parameters: torch.optim.SGD(parameters, lr=0.5)  # noqa: E731
    file = saved(Classifier((5, 3), optimizer=step), tmp_path)
    again = Classifier.load_from_checkpoint(file)
    with pytest.raises(UserError, match=r"load_from_checkpoint\(FILE, optimizer=\.\.\.\)"):
        again.configure_optimizers()
    again = Classifier.load_from_checkpoint(file, optimizer=step)  # as the message says
    assert again.configure_optimizers().defaults["lr"] == 0.5
    file = saved(Classifier((5, 4, 3), activation=lambda: nn.ReLU()), tmp_path)
    with pytest.raises(UserError, match="a part of its model, which had no name"):
        Classifier.load_from_checkpoint(file)
    Classifier.load_from_checkpoint(file, activation=nn.ReLU)


def test_a_network_that_does_not_say_how_it_was_made_is_asked_for(tmp_path):
    network = nn.Sequential(nn.Linear(5, 3))
    file = saved(Network(network), tmp_path)
    with pytest.raises(UserError, match="or as activation, network"):
        Network.load_from_checkpoint(file)
    again = Network.load_from_checkpoint(file, network=nn.Sequential(nn.Linear(5, 3)))
    assert torch.equal(again(X), network(X))


def test_alexnet_says_how_it_was_made():
    with torch.device("meta"):
        described = plain(AlexNet(groups=1, classes=5, dropout=0.25))
        again = instance(described, nn.Module, "network")
    assert isinstance(again, AlexNet)
    assert again.conv2.groups == 1
    assert again.fc3.out_features == 5
    assert again.dropout.p == 0.25
    assert str(again.norm1) == str(AlexNet.__init__.__defaults__[2]())


@pytest.mark.parametrize("sizes", [(5, 4, 3), (5, 3)])
def test_an_older_checkpoint_says_what_to_give_and_then_loads(sizes, tmp_path):
    made = Classifier(sizes).eval()
    file = without(saved(made, tmp_path), KEY, "hyper_parameters")
    with pytest.raises(UserError, match="written before they said how their model was made"):
        Classifier.load_from_checkpoint(file)
    again = Classifier.load_from_checkpoint(file, widths=sizes).eval()  # as the message says
    assert torch.equal(again(X), made(X))


def test_an_older_checkpoint_of_an_autoencoder_says_what_to_give(tmp_path):
    file = without(saved(SparseAutoencoder(5, 7), tmp_path), KEY, "hyper_parameters")
    with pytest.raises(UserError, match=r"shape \(7, 5\), not \(400, 784\): give the model"):
        SparseAutoencoder.load_from_checkpoint(file)
    SparseAutoencoder.load_from_checkpoint(file, inputs=5, units=7)


def test_a_checkpoint_of_a_later_format_is_refused(tmp_path):
    file = saved(Classifier((5, 3)), tmp_path)
    content = read_checkpoint(file)
    content[KEY] = {"version": "9.9", "format": FORMAT + 1}
    torch.save(content, file)
    with pytest.raises(UserError, match=r"of lit-intriguing 9\.9; .* install a later one"):
        Classifier.load_from_checkpoint(file)
