import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier, CosineOverRun
from lit_intriguing.models.decay import half_square_decay
from lit_intriguing.private.of_lightning import HOOK_NOTE


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def trainer(**options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(**{"logger": False, "enable_checkpointing": False, **quiet, **options})


def loader(rows: int = 24, batch_size: int = 8) -> TensorLoader:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (rows,), generator=generator)
    return TensorLoader(nn.functional.one_hot(labels, 4).float(), labels, batch_size)


def test_the_layers_have_the_names_widths_and_activation_given() -> None:
    model = Classifier((4, 6, 5, 3), activation=nn.Sigmoid)
    assert [name for name, _ in model.named_children()][:3] == ["hidden1", "hidden2", "output"]
    assert isinstance(model.hidden2[1], nn.Sigmoid)
    x = torch.rand(7, 2, 2)
    hidden = torch.sigmoid(model.hidden1[0](x.flatten(1)))
    hidden = torch.sigmoid(model.hidden2[0](hidden))
    assert torch.equal(model(x), model.output(hidden))


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_examples_are_independent(rows: int) -> None:
    model, x = Classifier((4, 6, 3)), torch.rand(rows, 4)
    assert model(x).shape == (rows, 3)
    for together, row in zip(model(x), x, strict=True):
        assert torch.allclose(together, model(row[None])[0], atol=1e-6)


def test_without_hidden_layers_it_is_softmax_regression() -> None:
    model = Classifier((4, 3))
    assert [name for name, _ in model.named_parameters()] == ["output.weight", "output.bias"]


def test_weights_are_he_normal_and_biases_zero_by_default() -> None:
    torch.manual_seed(0)
    model = Classifier((400, 300, 3))
    assert model.hidden1[0].weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert not model.hidden1[0].bias.any()


def test_another_initialisation_can_be_given() -> None:
    model = Classifier((4, 6, 3), init=nn.init.ones_)
    assert (model.output.weight == 1).all()


def test_the_loss_is_cross_entropy_and_the_paper_s_decay() -> None:
    model, (x, y) = Classifier((4, 6, 3), decay=[0.1, 0.2]), next(iter(loader()))
    weights = [model.hidden1[0].weight, model.output.weight]
    decay = 0.1 * weights[0].pow(2).sum() / 6 + 0.2 * weights[1].pow(2).sum() / 3
    expected = nn.functional.cross_entropy(model(x), y) + decay
    assert torch.allclose(model.training_step((x, y), 0), expected)


def test_the_decay_can_be_read_in_the_other_way() -> None:
    model = Classifier((4, 6, 3), decay=[0.1, 0.2], decay_form=half_square_decay)
    x, y = next(iter(loader()))
    weights = [model.hidden1[0].weight, model.output.weight]
    decay = 0.1 / 2 * weights[0].pow(2).sum() + 0.2 / 2 * weights[1].pow(2).sum()
    expected = nn.functional.cross_entropy(model(x), y) + decay
    assert torch.allclose(model.training_step((x, y), 0), expected)


def test_without_biases_every_layer_is_its_weights_alone(tmp_path: Path) -> None:
    model, x = Classifier((4, 6, 3), bias=False), torch.rand(2, 4)
    assert [name for name, _ in model.named_parameters()] == ["hidden1.0.weight", "output.weight"]
    hidden = (x @ model.hidden1[0].weight.T).relu()
    assert torch.allclose(model(x), hidden @ model.output.weight.T, atol=1e-6)
    run, other = trainer(max_epochs=1), Classifier((4, 6, 3), bias=False)
    run.fit(model, loader(), loader())
    run.save_checkpoint(tmp_path / "one.ckpt")
    trainer().test(other, loader(), ckpt_path=tmp_path / "one.ckpt", verbose=False)
    assert torch.equal(other.output.weight, model.output.weight)


def test_frozen_parameters_are_not_handed_to_the_optimiser() -> None:
    model = Classifier((4, 6, 3), optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5))
    model.hidden1.requires_grad_(False)
    decayed, spared = model.configure_optimizers().param_groups
    assert [id(p) for p in decayed["params"]] == [id(model.output.weight)]
    assert [id(p) for p in spared["params"]] == [id(model.output.bias)]


def test_one_number_is_the_decay_of_every_layer() -> None:
    assert Classifier((4, 6, 3), decay=0.5).decay == [0.5, 0.5]


def test_the_optimiser_s_weight_decay_spares_the_biases() -> None:
    model = Classifier((4, 6, 3), optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    model.configure_optimizers().step()
    for name, parameter in model.named_parameters():
        expected = 1 - 0.1 * 0.5 if name.endswith("weight") else 1.0
        assert parameter.flatten().tolist() == pytest.approx([expected] * parameter.numel())


def test_an_activation_s_parameters_are_trained_without_weight_decay() -> None:
    model = Classifier(
        (4, 6, 3),
        activation=nn.PReLU,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5),
    )
    slope = model.hidden1[1].weight
    decayed, spared = model.configure_optimizers().param_groups
    assert {id(one) for one in decayed["params"]} == {
        id(model.hidden1[0].weight),
        id(model.output.weight),
    }
    assert any(one is slope for one in spared["params"])
    assert spared["weight_decay"] == 0
    assert sum(len(group["params"]) for group in (decayed, spared)) == 5
    before = slope.item()
    trainer(max_epochs=1).fit(model, loader(), loader())
    assert slope.item() != before


def test_an_optimiser_that_takes_one_group_only_works() -> None:
    model = Classifier((4, 6, 3), optimizer=torch.optim.LBFGS)
    trainer(max_epochs=1).fit(model, loader(24, 24), loader())
    assert isinstance(model.optimizers().optimizer, torch.optim.LBFGS)


def test_dropout_acts_on_the_input_and_on_hidden_layers_in_training_only() -> None:
    model, x = Classifier((4, 50, 3), dropout=[0.5, 0.5]), torch.ones(20, 4)
    kept = (model.dropped_input(x) != 0).float().mean().item()
    assert 0.3 < kept < 0.7
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_training_learns_and_logs_errors_as_fractions() -> None:
    seed_everything(0, verbose=False)
    model = Classifier((4, 20, 3), optimizer=lambda p: torch.optim.Adam(p, lr=0.05))
    run = trainer(max_epochs=30)
    before = run.test(model, loader(), verbose=False)[0]["test/error"]
    run.fit(model, loader(), loader())
    assert run.callback_metrics["val/error"] == 0.0
    assert run.test(model, loader(), verbose=False)[0]["test/error"] == 0.0
    assert before > 0.2


@pytest.mark.integration
def test_two_processes_count_each_test_example_once(tmp_path: Path) -> None:
    rows = 21
    labels = torch.arange(rows) % 3
    inputs = torch.zeros(rows, 4)

    class Sharded(Classifier):
        def test_dataloader(self) -> TensorLoader:
            shard = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
            return TensorLoader(inputs, labels, 4, **shard)

    model = Sharded((4, 6, 3), init=nn.init.ones_)
    run = trainer(strategy="ddp_fork", devices=2, default_root_dir=tmp_path)
    # Equal logits make every prediction class 0: wrong on two examples in three.
    assert run.test(model, verbose=False)[0]["test/error"] == pytest.approx(14 / 21)


def test_the_loss_is_written_every_log_every_n_steps(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    model = Classifier((4, 6, 3), optimizer=sgd)
    trainer(max_epochs=4, logger=logger, log_every_n_steps=3, limit_val_batches=0).fit(
        model, loader(32), loader()
    )
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    step = lines[0].split(",").index("step")
    assert "train/loss" in lines[0]
    assert [int(line.split(",")[step]) for line in lines[1:]] == [2, 5, 8, 11, 14]


def test_the_cosine_ends_with_the_run_without_its_length_being_given() -> None:
    model = Classifier((4, 6, 3), optimizer=sgd, scheduler=CosineOverRun)
    trainer(max_epochs=4).fit(model, loader(), loader())
    schedule = model.lr_schedulers()
    assert schedule.run_length == 12
    assert schedule.get_last_lr() == pytest.approx([0.0])


def test_a_schedule_over_epochs_moves_once_an_epoch() -> None:
    def halve(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    model = Classifier((4, 6, 3), optimizer=sgd, scheduler=halve, scheduler_interval="epoch")
    trainer(max_epochs=2).fit(model, loader(), loader())
    assert model.lr_schedulers().get_last_lr() == pytest.approx([0.025])


@pytest.mark.parametrize(
    ("end", "epochs"),
    [
        ({"max_epochs": 4}, 4),
        ({"max_epochs": 4, "accumulate_grad_batches": 2}, 4),
        ({"max_epochs": 4, "limit_train_batches": 1}, 4),
        ({"max_epochs": -1, "max_steps": 6}, 2),
        ({"max_epochs": 4, "max_steps": 7}, 3),
    ],
    ids=str,
)
def test_a_cosine_over_epochs_gets_their_number(end: dict[str, int], epochs: int) -> None:
    model = Classifier(
        (4, 6, 3), optimizer=sgd, scheduler=CosineOverRun, scheduler_interval="epoch"
    )
    trainer(**end).fit(model, loader(), loader())
    assert model.lr_schedulers().run_length == epochs


def test_a_cosine_over_epochs_ends_with_the_run() -> None:
    model = Classifier(
        (4, 6, 3), optimizer=sgd, scheduler=CosineOverRun, scheduler_interval="epoch"
    )
    seen = []

    class Rates(Callback):
        def on_train_epoch_start(self, run: Trainer, module: LightningModule) -> None:
            seen.append(run.optimizers[0].param_groups[0]["lr"])

    trainer(max_epochs=4, callbacks=[Rates()]).fit(model, loader(), loader())
    assert seen == pytest.approx([0.05 * (1 + math.cos(math.pi * i / 4)) for i in range(4)])
    assert model.lr_schedulers().get_last_lr() == pytest.approx([0.0])


class Endless:
    """Batches that never end."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield torch.ones(2, 4), torch.zeros(2, dtype=torch.long)


@pytest.mark.parametrize(
    ("options", "interval", "message"),
    [
        ({"max_epochs": 2}, "step", "or max_steps where an epoch has no end"),
        ({"max_steps": 2}, "epoch", 'has no end: set scheduler_interval to "step"'),
    ],
)
def test_a_schedule_over_data_without_end_is_refused_where_its_length_is_not_known(
    options: dict[str, int], interval: str, message: str
) -> None:
    model = Classifier((4, 6, 3), scheduler=CosineOverRun, scheduler_interval=interval)
    with pytest.raises(UserError, match=message):
        trainer(**options).fit(model, Endless(), loader())


def test_a_schedule_that_watches_a_metric_watches_the_validation_error() -> None:
    def plateau(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)

    model = Classifier((4, 6, 3), optimizer=lambda p: torch.optim.SGD(p, lr=0.0), scheduler=plateau)
    run = trainer(max_epochs=3)
    run.fit(model, loader(), loader())
    assert model.lr_schedulers().best == run.callback_metrics["val/error"]


def test_a_schedule_over_a_run_without_end_is_refused() -> None:
    model = Classifier((4, 6, 3), scheduler=CosineOverRun)
    with pytest.raises(UserError, match="set max_epochs, or max_steps"):
        trainer(max_epochs=-1).fit(model, loader(), loader())


def test_prediction_gives_classes_with_and_without_labels() -> None:
    model, (x, y) = Classifier((4, 6, 3)), next(iter(loader()))
    expected = model(x).argmax(1)
    assert torch.equal(model.predict_step((x, y), 0), expected)
    assert torch.equal(model.predict_step(x, 0), expected)


def test_a_trained_network_is_restored_from_its_checkpoint(tmp_path: Path) -> None:
    model, path = Classifier((4, 6, 3)), tmp_path / "one.ckpt"
    run = trainer(max_epochs=1)
    run.fit(model, loader(), loader())
    run.save_checkpoint(path)
    other = Classifier((4, 6, 3))
    trainer().test(other, loader(), ckpt_path=path, verbose=False, weights_only=True)
    assert torch.equal(other.output.weight, model.output.weight)


def test_a_network_with_a_trained_activation_is_restored_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    model, path = Classifier((4, 6, 5, 3), activation=nn.PReLU), tmp_path / "one.ckpt"
    run = trainer(max_epochs=1)
    run.fit(model, loader(), loader())
    run.save_checkpoint(path)
    other = Classifier((4, 6, 5, 3), activation=nn.PReLU)
    trainer().test(other, loader(), ckpt_path=path, verbose=False, weights_only=True)
    assert torch.equal(other.hidden2[1].weight, model.hidden2[1].weight)
    with pytest.raises(UserError, match="holds a network of 4-6-5-3, this one is 4-6-3"):
        trainer().test(Classifier((4, 6, 3), activation=nn.PReLU), loader(), ckpt_path=path)


def test_the_widths_of_a_checkpoint_with_wrapped_layers_are_read() -> None:
    model = Classifier((4, 6, 3))

    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    model.hidden1, model.output = Wrapper(model.hidden1), Wrapper(model.output)
    model.on_load_checkpoint({"state_dict": model.state_dict()})
    with pytest.raises(UserError, match="holds a network of 4-6-3, this one is 4-7-3"):
        Classifier((4, 7, 3)).on_load_checkpoint({"state_dict": model.state_dict()})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"widths": (5, 6, 3)}, "data with 4 features, this network is for 5: use the recipe"),
        ({"widths": (4, 7, 3)}, "holds a network of 4-6-3, this one is 4-7-3"),
        ({"widths": (4, 6, 6, 3)}, "holds a network of 4-6-3, this one is 4-6-6-3"),
        ({"activation": nn.Sigmoid}, r"activation ReLU\(\), this one Sigmoid\(\)"),
    ],
)
def test_the_checkpoint_of_another_architecture_is_refused(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    run, path = trainer(max_epochs=1), tmp_path / "one.ckpt"
    run.fit(Classifier((4, 6, 3)), loader(), loader())
    run.save_checkpoint(path)
    with pytest.raises(UserError, match=message):
        trainer().test(Classifier(**{"widths": (4, 6, 3), **other}), loader(), ckpt_path=path)


def test_inputs_of_another_size_are_refused_with_both_numbers() -> None:
    with pytest.raises(UserError, match="inputs have 64 features, the network takes 784"):
        Classifier()(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (784,)}, r"widths must name at least .* not \[784\]"),
        ({"widths": (784, 0, 10)}, r"each 1 or more, not \[784, 0, 10\]"),
        ({"decay": [0.1]}, "decay has 1 values for 3 layers"),
        ({"decay": -1.0}, "decay must not be negative"),
        ({"dropout": [0.5]}, "dropout has 1 values for 3 places"),
        ({"dropout": [0.2, 0.5, 1.0]}, "dropout probabilities lie from 0 to below 1"),
        ({"scheduler_interval": "steps"}, "scheduler_interval is .* not 'steps'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Classifier(**options)


def test_everything_can_be_injected_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        """
        model:
          widths: [4, 6, 3]
          activation: torch.nn.Sigmoid
          init: torch.nn.init.xavier_normal_
          decay: [1.0e-5, 1.0e-6]
          decay_form: lit_intriguing.models.decay.half_square_decay
          dropout: [0.2, 0.5]
          optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.5, weight_decay: 0.1}}
          scheduler: {class_path: lit_intriguing.models.CosineOverRun, init_args: {warmup: 0.1}}
        """
    )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Classifier, "model")
    config = parser.parse_args([f"--config={tmp_path / 'model.yaml'}"])
    model: Classifier = parser.instantiate(config).model
    assert isinstance(model.hidden1[1], nn.Sigmoid)
    assert model.decay == [1e-5, 1e-6]
    assert model.decay_form is half_square_decay
    optimizer = model.optimizer(model.parameters())
    assert optimizer.defaults["lr"] == 0.5
    assert model.scheduler(optimizer).warmup == 0.1
    trainer(max_epochs=1).fit(model, loader(), loader())


def test_a_layer_replaced_by_a_wrapper_is_used() -> None:
    model, x = Classifier((4, 6, 3)), torch.rand(2, 4)
    inner = model.hidden1

    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * inner(x)

    model.hidden1 = Doubled()
    assert torch.allclose(model(x), model.output(2 * inner(x)))


def test_lightnings_note_of_a_hook_is_an_ordinary_attribute() -> None:
    model = Classifier([4, 3])
    setattr(model, HOOK_NOTE, "training_step")
    assert vars(model)[HOOK_NOTE] == "training_step"
    model.extra = nn.Linear(2, 2)  # others are registered as ever
    assert "extra" in dict(model.named_children())


def test_signature_of_the_training_step_is_that_of_each_class() -> None:
    class Own(Classifier):
        def training_step(self, batch: Any) -> Any:  # without the number
            return super().training_step(batch, 0)

    assert list(inspect.signature(Classifier.training_step).parameters)[1:] == [
        "batch",
        "batch_idx",
    ]
    assert inspect.getfullargspec(Own.training_step).args == ["self", "batch"]
