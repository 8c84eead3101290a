from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.data import Digits
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.models import Classifier


def trainer(folder: Path, **options: object) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(
        default_root_dir=folder, logger=False, max_epochs=1, limit_train_batches=2,
        **{**quiet, **options},
    )  # fmt: skip


def test_the_mean_is_that_of_the_training_examples_alone(tmp_path: Path) -> None:
    data, network = Digits(validation=300), Classifier((64, 8, 10), subtract_mean=True)
    trainer(tmp_path, enable_checkpointing=False).fit(network, data)
    rows = data.train_dataloader().inputs
    assert len(rows) < 1797 - 300
    assert torch.allclose(network.centring.mean, rows.flatten(1).mean(0), atol=1e-6)


def test_it_is_subtracted_before_the_first_layer_and_not_trained() -> None:
    network = Classifier((4, 6, 3), subtract_mean=True)
    network.centring.mean.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    x = torch.rand(7, 4)
    same = Classifier((4, 6, 3))
    same.load_state_dict(network.state_dict(), strict=False)
    assert torch.equal(network(x), same(x - network.centring.mean))
    assert len(list(network.parameters())) == len(list(same.parameters()))


def test_a_checkpoint_keeps_it_and_training_on_does_not_change_it(tmp_path: Path) -> None:
    network = Classifier((64, 8, 10), subtract_mean=True)
    run = trainer(tmp_path)
    run.fit(network, Digits(validation=300))
    run.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Classifier.load_from_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(loaded.centring.mean, network.centring.mean)
    trainer(tmp_path, enable_checkpointing=False).fit(loaded, Digits(split_seed=5))
    assert torch.equal(loaded.centring.mean, network.centring.mean)


@pytest.mark.parametrize("saved", [True, False])
def test_a_checkpoint_of_the_other_kind_is_refused(tmp_path: Path, saved: bool) -> None:
    run = trainer(tmp_path)
    run.fit(Classifier((64, 8, 10), subtract_mean=saved), Digits())
    run.save_checkpoint(tmp_path / "a.ckpt")
    other = Classifier((64, 8, 10), subtract_mean=not saved)
    with pytest.raises(UserError, match=f"give the model subtract_mean={saved}"):
        run.test(other, Digits(), ckpt_path=tmp_path / "a.ckpt", weights_only=False)


def test_the_bound_is_that_without_it() -> None:
    network = Classifier((4, 6, 3), subtract_mean=True)
    network.centring.mean.fill_(0.5)
    same = Classifier((4, 6, 3))
    same.load_state_dict(network.state_dict(), strict=False)
    bound = network_norm(network, (4,))
    assert bound.norm.kind == network_norm(same, (4,)).norm.kind
    assert bound.norm.value == pytest.approx(network_norm(same, (4,)).norm.value)
    assert bound.norm.value < 1e6


def test_data_without_a_mean_are_refused_before_training(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(torch.rand(8, 4), torch.zeros(8, dtype=torch.long)), 4)
    network = Classifier((4, 6, 3), subtract_mean=True)
    with pytest.raises(UserError, match="which a loader has not: train with a data module"):
        trainer(tmp_path).fit(network, loader, loader)


def test_data_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="64 features, the network takes 5"):
        trainer(tmp_path).fit(Classifier((5, 10), subtract_mean=True), Digits())


def test_an_encoder_beside_it_is_refused() -> None:
    with pytest.raises(UserError, match="leave subtract_mean out"):
        Classifier((64, 8, 10), encoder="some.ckpt", subtract_mean=True)
