import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.models import FeatureClassifier, QuocNet, SparseAutoencoder
from tests.models.quocnet.test_reconstruction_tica import SIZES as TWO
from tests.models.quocnet.test_reconstruction_tica import Images, model, trainer

SIZES: dict[str, Any] = {**TWO, "stages": 1, "maps": 6, "kernel": 3}


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """Of features of the digits, after a few steps."""
    run = trainer(max_epochs=1, limit_train_batches=20)
    run.fit(model(sizes=SIZES), datamodule=Images())
    run.save_checkpoint(tmp_path / "features.ckpt")
    return str(tmp_path / "features.ckpt")


def classifier(**options: Any) -> FeatureClassifier:
    torch.manual_seed(0)
    return FeatureClassifier(QuocNet(**SIZES), **{"classes": 10, **options})


def test_only_the_linear_layer_is_trained_and_digits_are_told_apart(
    encoder: str, tmp_path: Path
) -> None:
    found = classifier(encoder=encoder, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    held = torch.load(encoder, weights_only=True)["state_dict"]
    run = trainer(max_epochs=5)
    run.fit(found, datamodule=Images())
    after = found.features.state_dict()
    assert after.keys() == {name.removeprefix("network.") for name in held}
    assert all(torch.equal(after[name.removeprefix("network.")], one) for name, one in held.items())
    (result,) = run.test(found, datamodule=Images(), verbose=False)
    assert result["test/error"] < 0.15
    run.save_checkpoint(tmp_path / "classifier.ckpt")
    Path(encoder).unlink()
    again = FeatureClassifier.load_from_checkpoint(tmp_path / "classifier.ckpt", optimizer=None)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(again.eval()(x), found.eval()(x))


class Watching(FeatureClassifier):
    """Notes the modes in which it is trained."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.modes = (self.features.training, self.standardise.training)
        return super().training_step(batch, batch_idx)


def test_features_are_in_evaluation_while_the_rest_is_trained() -> None:
    found = Watching(QuocNet(**SIZES), classes=10)
    trainer(max_epochs=1, limit_train_batches=2).fit(found, datamodule=Images())
    assert found.modes == (False, True)


def test_images_keep_a_gradient_through_frozen_features() -> None:
    found = classifier()
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    nn.init.normal_(found.output.weight)
    found.eval()(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.any()


def test_class_weights_weigh_examples() -> None:
    found = classifier(classes=2, class_weights=[1.0, 9.0])
    with torch.no_grad():
        found.output.bias.copy_(torch.tensor([1.0, 0.0]))
    x, y = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    terms = nn.functional.cross_entropy(torch.tensor([[1.0, 0.0]] * 2), y, reduction="none")
    expected = (terms[0] + 9 * terms[1]) / 10
    assert torch.allclose(found.eval().training_step((x, y), 0), expected)


def test_the_whole_classifier_is_bounded() -> None:
    found = classifier().eval()
    nn.init.normal_(found.output.weight)
    norm = network_norm(found, (1, 8, 8)).norm
    assert norm.finite
    assert norm.value > 0


def test_an_encoder_of_another_shape_or_kind_is_refused(encoder: str, tmp_path: Path) -> None:
    message = r"stage1.filters.weight has shape \(36, 6, 9\), not \(36, 5, 9\). Give the features"
    with pytest.raises(UserError, match=message):
        FeatureClassifier(QuocNet(**{**SIZES, "maps": 5}), encoder)
    with pytest.raises(UserError, match=r"no checkpoint 'nowhere.ckpt' to take the features from"):
        classifier(encoder="nowhere.ckpt")
    other = tmp_path / "other.ckpt"
    run = trainer(max_epochs=1, limit_train_batches=1)
    run.fit(SparseAutoencoder(64, 4), datamodule=Images())
    run.save_checkpoint(other)
    with pytest.raises(UserError, match="holds no module with a submodule `network`"):
        classifier(encoder=str(other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, not 1"),
        ({"class_weights": [1.0]}, "class_weights [1.0] must be one number above 0 for each of 10"),
        ({"classes": 2, "class_weights": [0.0, 1.0]}, "one number above 0 for each of 2 classes"),
        ({"features": nn.Flatten()}, "Flatten does not say the shape of its features"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        FeatureClassifier(**{"features": QuocNet(**SIZES), "classes": 10, **options})
