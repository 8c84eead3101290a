import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lit_intriguing.data import Digits
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier, SparseAutoencoder
from lit_intriguing.models.autoencoder import FrozenLayer, kl_sparsity


def trainer(**options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", **{"enable_checkpointing": False, **quiet, **options})


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Of an autoencoder of the digits with 20 units, after an epoch."""
    run = trainer(max_epochs=1)
    run.fit(SparseAutoencoder(64, 20), datamodule=Digits())
    run.save_checkpoint(tmp_path / "features.ckpt")
    return str(tmp_path / "features.ckpt")


def test_the_loss_is_that_of_the_lecture_notes() -> None:
    torch.manual_seed(0)
    model, x = SparseAutoencoder(9, 4, target=0.2, sparsity=0.7, decay=0.3), torch.rand(5, 1, 3, 3)
    encode, decode = (p.detach().double().numpy() for p in (model.filters, model.decoder.weight))
    rows = x.flatten(1).double().numpy()
    hidden = 1 / (1 + np.exp(-rows @ encode.T))
    output = 1 / (1 + np.exp(-hidden @ decode.T))
    means = hidden.mean(0)
    kl = 0.2 * np.log(0.2 / means) + 0.8 * np.log(0.8 / (1 - means))
    expected = ((output - rows) ** 2).sum() / 10 + 0.7 * kl.sum()
    expected += 0.3 / 2 * ((encode**2).sum() + (decode**2).sum())
    assert model.objective(x, model.encode(x)).item() == pytest.approx(expected, rel=1e-5)


def test_the_labels_play_no_part() -> None:
    class Relabelled(Digits):
        def load_training(self) -> tuple[Split, Split | None]:
            rows, _ = super().load_training()
            return Split(rows.inputs, torch.zeros_like(rows.labels)), None

    trained = []
    for data in (Digits, Relabelled):
        seed_everything(0, verbose=False)
        model = SparseAutoencoder(64, 5)
        trainer(max_epochs=1).fit(model, datamodule=data())
        trained.append(model.filters)
    assert torch.equal(*trained)


@pytest.mark.parametrize("means", [0.0, 1.0])
def test_a_unit_that_is_never_or_always_on_has_a_finite_penalty(means: float) -> None:
    assert 1.0 < kl_sparsity(torch.tensor([means]), 0.1).item() < 20


def test_the_penalty_is_least_at_the_target() -> None:
    penalties = [kl_sparsity(torch.tensor([mean]), 0.2).item() for mean in (0.15, 0.2, 0.25)]
    assert penalties[1] == pytest.approx(0, abs=1e-6)
    assert min(penalties[0], penalties[2]) > 1e-3


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_examples_are_independent(rows: int) -> None:
    model, x = SparseAutoencoder(9, 4), torch.rand(rows, 3, 3)
    assert model.encode(x).shape == (rows, 4)
    assert model(x).shape == (rows, 9)
    for together, row in zip(model(x), x, strict=True):
        assert torch.allclose(together, model(row[None])[0], atol=1e-6)


@pytest.mark.integration
def test_trained_on_digits_it_reconstructs_them_with_the_activation_asked_for() -> None:
    seed_everything(0, verbose=False)
    model = SparseAutoencoder(
        64, 40, target=0.1, decay=1e-4, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2)
    )
    run = trainer(max_epochs=1)
    before = run.test(model, Digits(), verbose=False)[0]["test/reconstruction"]
    run = trainer(max_epochs=30)
    run.fit(model, datamodule=Digits())
    assert float(run.callback_metrics["train/activation"]) == pytest.approx(0.1, abs=0.03)
    assert run.test(model, Digits(), verbose=False)[0]["test/reconstruction"] < before / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 0}, "inputs and units are at least 1, not 0 and 400"),
        ({"units": 0}, "at least 1, not 784 and 0"),
        ({"target": 0.0}, "target is a mean activation between 0 and 1, not 0.0"),
        ({"sparsity": -1.0}, "sparsity and decay must not be negative: -1.0, 0.003"),
        ({"decay": -1.0}, "must not be negative: 3.0, -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        SparseAutoencoder(**options)


def test_inputs_of_another_size_are_refused_with_both_numbers() -> None:
    with pytest.raises(UserError, match="inputs have 64 features, the autoencoder takes 784"):
        SparseAutoencoder()(torch.zeros(2, 8, 8))


def classifier(checkpoint: str | None, widths: tuple[int, ...] = (64, 20, 10)) -> Classifier:
    return Classifier(
        widths,
        activation=nn.Sigmoid,
        encoder=checkpoint,
        optimizer=lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"),
    )


def test_a_classifier_trains_its_output_alone_on_the_encoder_of_the_checkpoint(
    checkpoint: str, tmp_path: Path
) -> None:
    model, run = classifier(checkpoint), trainer(max_epochs=3)
    output = model.output.weight.detach().clone()
    run.fit(model, datamodule=Digits(batch_size=2000))
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(model.hidden1[0].weight, saved["hidden1.0.weight"])
    assert torch.equal(model.hidden1[0].bias, saved["hidden1.0.bias"])
    assert not torch.equal(model.output.weight, output)
    (group,) = model.optimizers().optimizer.param_groups
    assert sum(p.numel() for p in group["params"]) == 10 * 21

    run.save_checkpoint(tmp_path / "whole.ckpt")
    plain = classifier(None)
    x = torch.rand(3, 64)
    trainer().test(plain, Digits(), ckpt_path=tmp_path / "whole.ckpt", verbose=False)
    assert torch.equal(plain(x), model.eval()(x))


def test_training_with_the_encoder_goes_on_from_its_own_checkpoint(
    checkpoint: str, tmp_path: Path
) -> None:
    def weights(model: LightningModule) -> Tensor:
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    def train(model: Classifier, epochs: int, resume: Path | None = None) -> Tensor:
        seed_everything(0, verbose=False)
        saving = ModelCheckpoint(tmp_path / "kept", filename="{epoch}", save_top_k=-1)
        run = trainer(max_epochs=epochs, callbacks=[saving], enable_checkpointing=True)
        run.fit(model, datamodule=Digits(batch_size=2000), ckpt_path=resume, weights_only=True)
        return weights(model)

    torch.manual_seed(0)
    whole = train(classifier(checkpoint), 3)
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match="exists and is not empty"):
        assert torch.equal(
            train(classifier(checkpoint), 3, tmp_path / "kept" / "epoch=0.ckpt"), whole
        )


def counted(checkpoint: str) -> tuple[FrozenLayer, list[int]]:
    layer = FrozenLayer.of(nn.Sequential(nn.Linear(64, 20), nn.Sigmoid()), checkpoint)
    calls: list[int] = []
    layer[0].register_forward_hook(lambda *_: calls.append(1))
    return layer, calls


def test_the_frozen_layer_computes_the_same_batch_once_in_training(checkpoint: str) -> None:
    layer, calls = counted(checkpoint)
    first, second = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8)
    for x in (first, first, second, second, first):
        assert torch.equal(layer(x.flatten(1)), torch.sigmoid(layer[0](x.flatten(1))))
    assert len(calls) == 3 + 5


def test_the_frozen_layer_notices_a_batch_changed_in_place_and_another_mode(
    checkpoint: str,
) -> None:
    layer, calls = counted(checkpoint)
    x = torch.rand(5, 64)
    before = layer(x)
    x.mul_(0.5)
    assert not torch.equal(layer(x), before)
    layer.eval()
    layer(x), layer(x)
    assert len(calls) == 4


def test_the_frozen_layer_passes_gradients_on_to_its_input(checkpoint: str) -> None:
    layer, _ = counted(checkpoint)
    x = torch.rand(5, 64)
    layer(x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert gradient.abs().max() > 0


def test_an_encoder_that_is_not_there_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"no checkpoint 'none\.ckpt' to take the encoder from"):
        trainer(max_epochs=1).fit(classifier("none.ckpt"), datamodule=Digits())


def test_an_encoder_of_other_sizes_is_refused_with_both(checkpoint: str) -> None:
    message = "maps 64 features to 20 units, the network 64 to 21"
    with pytest.raises(UserError, match=message):
        trainer(max_epochs=1).fit(classifier(checkpoint, (64, 21, 10)), datamodule=Digits())


def test_the_checkpoint_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    run = trainer(max_epochs=1)
    run.fit(Classifier((64, 20, 10)), datamodule=Digits())
    run.save_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="holds no SparseAutoencoder"):
        FrozenLayer.of(nn.Sequential(nn.Linear(64, 20)), str(tmp_path / "other.ckpt"))


def test_an_encoder_without_a_hidden_layer_to_fill_is_refused() -> None:
    with pytest.raises(UserError, match="an encoder needs a hidden layer to fill"):
        Classifier((64, 10), encoder="features.ckpt")
