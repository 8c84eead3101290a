import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor, nn

from lit_intriguing.data import Digits
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.errors import UserError
from lit_intriguing.models import QuocNet, ReconstructionTICA
from lit_intriguing.models.quocnet.reconstruction_tica import objective

SIZES: dict[str, Any] = {"input_shape": [1, 8, 8], "stages": 2, "maps": 3, "kernel": [3, 2],
                         "pool": 2, "contrast": 3, "pixels": 3}  # fmt: skip


class Images(Digits):
    """The digits as images `(N, 1, 8, 8)`."""

    image_shape = (1, 8, 8)

    def load_training(self) -> tuple[Split, Split | None]:
        rows, _ = super().load_training()
        return Split(rows.inputs.view(-1, 1, 8, 8), rows.labels), None

    def load_test(self) -> Split:
        rows = super().load_test()
        return Split(rows.inputs.view(-1, 1, 8, 8), rows.labels)


def model(seed: int = 0, sizes: dict[str, Any] | None = None, **options: Any) -> ReconstructionTICA:
    seed_everything(seed, verbose=False)
    return ReconstructionTICA(QuocNet(**{**SIZES, **(sizes or {})}), **options)


def trainer(**options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", **{"enable_checkpointing": False, **quiet, **options})


def weights(found: ReconstructionTICA) -> list[Tensor]:
    return [stage.filters.weight.detach().clone() for stage in found.network.stages]


def loss_of(found: ReconstructionTICA, x: Tensor) -> Tensor:
    return found.loss(found.objectives(x, range(2)))


def test_the_loss_is_the_sum_of_the_stages_objectives() -> None:
    found = model(sparsity=0.3, sizes={"scale": 1.0}).double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    expected, image = 0.0, found.network.prepare(x)
    for stage in found.network.stages:
        weight, (rows, columns) = stage.filters.weight, stage.filters.positions.sides
        kernel = stage.filters.positions.kernel
        windows = nn.functional.unfold(image, kernel).transpose(1, 2)
        y = torch.einsum("nld,lmd->nlm", windows, weight)
        rebuilt = torch.einsum("nlm,lmd->ndl", y, weight)
        rebuilt = nn.functional.fold(rebuilt, image.shape[2:], kernel)
        maps = y.transpose(1, 2).view(3, 3, rows, columns)
        groups = maps.unfold(2, 2, 1).unfold(3, 2, 1).square().sum((-2, -1))
        pools = (groups + stage.pool.eps).sqrt().sum() / 3
        expected += (rebuilt - image).square().sum() / 3 + 0.3 * pools
        image = stage(image)
    assert loss_of(found, x).item() == pytest.approx(expected.item(), rel=1e-9)


def test_gradients_of_all_stages_are_those_of_finite_differences() -> None:
    small = {"input_shape": [1, 5, 5], "maps": 1, "kernel": 2, "pool": 2, "scale": 1.0}
    found = model(sizes={**small, "floor": 0.5}).double()
    x = torch.rand(2, 1, 5, 5, dtype=torch.float64)
    loss_of(found, x).backward()
    for stage in found.network.stages:
        weight, step = stage.filters.weight, 1e-6
        for place in [(0, 0, 0), (3, 0, 2), (len(weight) - 1, 0, 3)]:
            both = []
            for move in (step, -step):
                with torch.no_grad():
                    weight[place] += move
                    both.append(loss_of(found, x).item())
                    weight[place] -= move
            assert weight.grad is not None
            slope = (both[0] - both[1]) / (2 * step)
            assert weight.grad[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_the_reconstruction_of_each_stage_improves_when_all_are_trained_at_once() -> None:
    found, run = model(optimizer=adam), trainer(max_epochs=3)
    before = run.test(found, datamodule=Images(), verbose=False)[0]
    run.fit(found, datamodule=Images())
    logged = set(run.callback_metrics)
    after = run.test(found, datamodule=Images(), verbose=False)[0]
    for number in (1, 2):
        key = f"test/unexplained_{number}"
        assert before[key] > 0.9
        assert after[key] < 0.6 * before[key]
        assert f"train/reconstruction_{number}" in logged


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def test_one_after_the_other_each_stage_is_trained_in_its_epochs_alone() -> None:
    found = model(epochs_a_stage=1)
    start = weights(found)
    seen = Epochs()
    trainer(max_epochs=3, limit_train_batches=3, callbacks=[seen]).fit(found, datamodule=Images())
    ends = [start, *seen.weights]
    moved = [
        [not torch.equal(*stage) for stage in zip(before, after, strict=True)]
        for before, after in itertools.pairwise(ends)
    ]
    assert moved == [[True, False], [False, True], [False, True]]


class Epochs(Callback):
    """Keeps the filters at the end of each epoch."""

    def __init__(self) -> None:
        self.weights: list[list[Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.weights.append(weights(pl_module))


def test_a_run_that_ends_before_the_last_stage_is_refused_and_the_way_out_works() -> None:
    run = trainer(max_epochs=2)
    with pytest.raises(UserError, match="trained from epoch 3 on, but the run ends after 2: raise"):
        run.fit(model(epochs_a_stage=2), datamodule=Images())
    trainer(max_epochs=3, limit_train_batches=1).fit(model(epochs_a_stage=2), datamodule=Images())


def test_images_of_data_that_do_not_fit_are_refused_before_training() -> None:
    message = "the data's images are 1 by 8 by 8, the network takes 1 by 9 by 8: set its"
    with pytest.raises(UserError, match=message):
        trainer(max_epochs=1).fit(model(sizes={"input_shape": [1, 9, 8]}), datamodule=Images())


def test_a_checkpoint_brings_its_network_and_one_of_another_shape_is_refused(
    tmp_path: Path,
) -> None:
    run = trainer(max_epochs=1, limit_train_batches=2)
    found = model(sparsity=0.2)
    run.fit(found, datamodule=Images())
    path = tmp_path / "features.ckpt"
    run.save_checkpoint(path)
    again = ReconstructionTICA.load_from_checkpoint(path, map_location="cpu")
    assert again.sparsity == 0.2
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(again(x), found(x))
    message = r"network.stage1.filters.weight has shape \(36, 3, 9\), not \(36, 4, 9\): give the"
    with pytest.raises(UserError, match=message):
        trainer().test(model(sizes={"maps": 4}), datamodule=Images(), ckpt_path=str(path))
    with pytest.raises(UserError, match=r"only one of them has network.stage2.filters.weight"):
        trainer().test(
            model(sizes={"stages": 1, "kernel": 3}), datamodule=Images(), ckpt_path=str(path)
        )


def test_a_network_made_on_meta_trains_as_another_does_and_its_checkpoint_loads(
    tmp_path: Path,
) -> None:
    ends = []
    for device in (None, "meta"):
        found = model(sizes={"device": device})
        run = trainer(max_epochs=1, limit_train_batches=3)
        run.fit(found, datamodule=Images())
        ends.append(weights(found))
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one, other)
    run.save_checkpoint(tmp_path / "meta.ckpt")
    again = ReconstructionTICA.load_from_checkpoint(tmp_path / "meta.ckpt", map_location="cpu")
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(again(x), found(x))


def test_an_untied_decoder_is_trained_and_kept_in_the_checkpoint(tmp_path: Path) -> None:
    found, run = model(sizes={"untied_decoder": True}, optimizer=adam), trainer(max_epochs=2)
    before = [one.detach().clone() for one in found.parameters()]
    assert len(before) == 4
    run.fit(found, datamodule=Images())
    assert run.callback_metrics["train/unexplained_1"] < 0.7
    assert not any(map(torch.equal, before, found.parameters()))
    run.save_checkpoint(tmp_path / "untied.ckpt")
    again = ReconstructionTICA.load_from_checkpoint(tmp_path / "untied.ckpt", map_location="cpu")
    assert all(map(torch.equal, again.parameters(), found.parameters()))


def test_the_last_stage_is_not_normalised_in_vain() -> None:
    found, calls = model(), list[str]()
    for number, stage in enumerate(found.network.stages, 1):
        stage.contrast.register_forward_hook(lambda *_, name=str(number): calls.append(name))
    loss_of(found, torch.rand(2, 1, 8, 8))
    assert calls == ["1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": -1.0}, "sparsity, -1.0, is at least 0"),
        ({"epochs_a_stage": 0}, "epochs_a_stage, 0, at least 1"),
        ({"network": nn.Flatten()}, "trains a QuocNet, not a Flatten"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        ReconstructionTICA(**{"network": QuocNet(**SIZES), **options})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_half_precision_have_room(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = QuocNet((3, 32, 32), stages=1, maps=4, kernel=8)
    x = 10 * torch.rand(32, 3, 32, 32)
    whole = objective(network.stages[0], x)
    half = objective(network.to(dtype).stages[0], x.to(dtype))
    for name in ("reconstruction", "sparsity", "unexplained"):
        found, expected = getattr(half, name), getattr(whole, name)
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(expected.item(), rel=0.02)


def test_sums_over_double_precision_are_double() -> None:
    network = QuocNet(**SIZES).double()
    found = objective(network.stages[0], torch.rand(2, 1, 8, 8, dtype=torch.float64))
    assert {one.dtype for one in found} == {torch.float64}
