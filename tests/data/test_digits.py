import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lit_intriguing.data import Digits
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier


def parts(data: Digits) -> list[tuple[torch.Tensor, torch.Tensor]]:
    data.setup(None)
    loaders = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    return [(loader.inputs, loader.labels) for loader in loaders if loader]


def test_the_parts_hold_the_1797_digits_with_pixels_from_0_to_1() -> None:
    (training, _), (test, _) = parts(Digits())
    assert training.shape == (1437, 1, 8, 8)
    assert test.shape == (360, 1, 8, 8)
    both = torch.cat([training, test])
    assert both.dtype == torch.float32
    assert (both.min(), both.max()) == (0, 1)


def test_each_part_has_the_digits_in_the_same_shares() -> None:
    sizes = {1137, 300, 360}
    shares = []
    for _, labels in parts(Digits(validation=300)):
        sizes.remove(len(labels))
        shares.append(labels.bincount(minlength=10) / len(labels))
    assert not sizes
    assert max((share - shares[0]).abs().max() for share in shares) < 0.005


def test_the_parts_share_no_example() -> None:
    rows = [row for inputs, _ in parts(Digits(validation=300)) for row in inputs.flatten(1)]
    # The 1,797 images differ from one another.
    assert len({tuple(row.tolist()) for row in rows}) == 1797


def test_the_division_depends_on_the_split_seed_alone() -> None:
    def test_part(data: Digits) -> torch.Tensor:
        return parts(data)[1][0]

    assert torch.equal(test_part(Digits()), test_part(Digits(seed=4)))
    assert not torch.equal(test_part(Digits()), test_part(Digits(split_seed=1)))


@pytest.mark.parametrize("validation", [0, 60])
def test_a_trainer_fits_and_tests_with_and_without_held_out_examples(validation: int) -> None:
    seed_everything(0, verbose=False)
    data = Digits(validation=validation)
    model = Classifier((64, 20, 10), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    assert ("val/error" in trainer.callback_metrics) == bool(validation)
    assert trainer.limit_val_batches == 1.0
    result = trainer.test(model, datamodule=data, verbose=False)
    assert 0 < result[0]["test/error"] < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 9}, "test needs at least 10 examples, one a digit, not 9"),
        ({"validation": 3}, "validation needs at least 10 examples, one a digit, not 3"),
        ({"test": 1000, "validation": 790}, "leave too few of the 1797 examples"),
        ({"split_seed": -2}, "split_seed must not be negative: -2"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Digits(**options)
