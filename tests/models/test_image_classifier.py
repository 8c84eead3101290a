from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from lightning.pytorch import LightningDataModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, MovingAverage, PerturbedLayer
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.models import ConvolutionalNetwork, CosineOverRun, ImageClassifier
from lit_intriguing.models.heads import fit_head
from lit_intriguing.models.pixels import PixelNormalisation

COLOURS = 7


class Patches(LightningDataModule):
    """Images of one colour each, a class for a colour; says what they are, as ImageFolder does."""

    def __init__(self, size: int = 8, classes: int = COLOURS) -> None:
        super().__init__()
        self.image_shape = (3, size, size)
        self.class_names = tuple(f"colour {i}" for i in range(classes))
        colours = torch.tensor([[c >> i & 1 for i in range(3)] for c in range(classes)]).float()
        self.labels = torch.arange(classes).repeat(16)
        noise = torch.rand(len(self.labels), *self.image_shape, generator=_seeded())
        self.images = 0.7 * colours[self.labels][:, :, None, None] + 0.3 * noise

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.images, self.labels), 28, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.images, self.labels), 28)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.val_dataloader()


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def small(classes: int = COLOURS) -> nn.Module:
    return ConvolutionalNetwork((3, 8, 8), (4, 8), 3, 16, classes)


def trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_the_input_is_normalised_within_the_model() -> None:
    network = small()
    model = ImageClassifier(network, mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3])
    x = torch.rand(2, 3, 8, 8)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    expected = network((x - mean[:, None, None]) / std[:, None, None])
    assert torch.allclose(model(x), expected, atol=1e-5)
    with pytest.raises(UserError, match="std above 0"):
        PixelNormalisation([0.5], [0.0])


def test_bounds_of_the_network_are_those_of_pixels() -> None:
    network = small()
    plain = network_norm(network, (3, 8, 8)).norm.value
    inside = network_norm(ImageClassifier(network, mean=[0.5], std=[0.25]), (3, 8, 8)).norm.value
    assert inside == pytest.approx(4 * plain, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_the_usual_recipe_learns_and_logs_both_errors() -> None:
    model = ImageClassifier(
        small(), label_smoothing=0.1, mean=[0.5], std=[0.25],
        optimizer=lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=1e-4),
        scheduler=lambda o: CosineOverRun(o, warmup=0.1),
    )  # fmt: skip
    run = trainer(max_epochs=15, precision="bf16-mixed", callbacks=[MovingAverage(0.9)])
    run.fit(model, datamodule=Patches())
    logged = run.callback_metrics
    assert logged["val/error"] < 0.1
    assert logged["val/error_top5"] <= logged["val/error"]
    (found,) = run.test(model, datamodule=Patches(), verbose=False)
    assert {"test/error", "test/error_top5"} <= set(found)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_five_classes_or_fewer_have_no_top_5_error() -> None:
    (found,) = trainer().test(
        ImageClassifier(small(5)), datamodule=Patches(classes=5), verbose=False
    )
    assert set(found) == {"test/error"}


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_adversarial_examples_of_input_and_a_named_layer_join_the_batch() -> None:
    layers = {
        "": PerturbedLayer(GradientAttack(0.5), mix=8),
        "network.pool1": PerturbedLayer(GradientAttack(0.1), relative=True, mix=8),
    }
    training = AdversarialTraining(layers)
    model = ImageClassifier(small(), mean=[0.5], std=[0.25])
    sizes = []
    model.normalise.register_forward_hook(lambda _, args, out: sizes.append(len(out)))
    trainer(max_epochs=2, callbacks=[training]).fit(model, datamodule=Patches())
    assert training.pools.step == 8
    assert {len(pool) > 0 for pool in training.pools.by_layer.values()} == {True}
    assert 28 + 16 in sizes


def test_decay_acts_on_matrices_and_filters_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 8, 8))
    model = ImageClassifier(network, optimizer=lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.1))
    decayed, others = model.configure_optimizers().param_groups
    assert {tuple(one.shape) for one in decayed["params"]} == {(4, 3, 3, 3), (2, 144)}
    assert others["weight_decay"] == 0
    assert len(others["params"]) == 4


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "densenet121", "vit_b_32"])
def test_networks_of_torchvision_get_a_fresh_last_layer(name: str) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
        fit_head(network, 3)
        size = 224 if name == "vit_b_32" else 64
        assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_a_head_of_the_right_size_stays_and_weights_are_loaded_before_a_new_one(
    tmp_path: Path,
) -> None:
    source = small()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    same = ImageClassifier(small(), classes=COLOURS, weights=str(tmp_path / "w.pt")).network
    assert torch.equal(same.output.weight, source.output.weight)
    other = ImageClassifier(small(), classes=3, weights=str(tmp_path / "w.pt")).network
    assert torch.equal(other.conv1.weight, source.conv1.weight)
    assert other.output.weight.shape == (3, 16)


class OfTimm(nn.Module):
    """Has the method with which timm's networks change their head."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 10)

    def reset_classifier(self, num_classes: int) -> None:
        self.head = nn.Linear(4, num_classes, bias=False)


def test_a_network_of_timm_changes_its_head_itself() -> None:
    network = OfTimm()
    fit_head(network, 2)
    assert network.head.bias is None


def test_a_network_without_a_last_layer_is_refused() -> None:
    with pytest.raises(UserError, match="no linear or convolutional layer to fit to 2 classes"):
        ImageClassifier(nn.Sequential(nn.ReLU()), classes=2)
    with pytest.raises(UserError, match="label_smoothing lies from 0 to below 1"):
        ImageClassifier(small(), label_smoothing=1.0)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_data_that_do_not_fit_are_refused_before_training_and_the_way_out_works() -> None:
    with pytest.raises(UserError, match=r"has 10 classes, the data 7 \(colour 0, colour 1, .*"):
        trainer(max_epochs=1).fit(ImageClassifier(small(10)), datamodule=Patches())
    model = ImageClassifier(small(10), classes=7)
    trainer(fast_dev_run=1).fit(model, datamodule=Patches())
    with pytest.raises(UserError, match=r"images of 3 channels and 4x4 pixels: .*`size`"):
        trainer(max_epochs=1).fit(model, datamodule=Patches(size=4))
    trainer(fast_dev_run=1).fit(model, datamodule=Patches(size=8))


def test_a_picture_smaller_than_the_field_is_told() -> None:
    model = ImageClassifier(torchvision.models.squeezenet1_1(num_classes=COLOURS))
    with pytest.raises(UserError, match=r"does not take the data's images .* 8x8 pixels"):
        trainer(max_epochs=1).fit(model, datamodule=Patches())


def test_with_five_classes_or_fewer_the_summary_lists_no_top_5_error() -> None:
    few, many = ImageClassifier(small(5), classes=5), ImageClassifier(small(6), classes=6)
    assert "val_error_top5" not in dict(few.named_children())
    assert "val_error_top5" in dict(many.named_children())
