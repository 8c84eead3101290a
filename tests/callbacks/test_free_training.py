"""Free adversarial training against its algorithm written in plain PyTorch."""

import copy
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack, TrueLabels
from lit_intriguing.callbacks import AdversarialTraining, ExactResume, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.schemes import Free
from lit_intriguing.types import Bounds
from tests.callbacks.test_adversarial_training import Logged, Manual, Modes, N, data, trainer
from tests.callbacks.test_schemes import Evaluated, Sharp, Watching

EPS, REPLAYS, ROWS = 0.1, 3, 5 * N + 4


def training(replays: int = REPLAYS, norm: float = float("inf")) -> AdversarialTraining:
    layer = PerturbedLayer(GradientAttack(EPS, norm=norm, step_size=0.06), bounds=Bounds())
    return AdversarialTraining({"": layer}, scheme=Free(replays))


def batches(epochs: int, replays: int) -> list[tuple[Tensor, Tensor]]:
    """Return what each step trains on: the batch that was taken last."""
    x, y = data(rows=ROWS)
    each = list(zip(x.split(N), y.split(N), strict=True))
    steps, held = [], each[0]
    for epoch in range(epochs):
        for number, batch in enumerate(each):
            if number % replays == epoch % replays:
                held = batch
            steps.append(held)
    return steps


def free(net: nn.Module, steps: list[tuple[Tensor, Tensor]]) -> None:
    """Train as the authors' `main_free.py` does, with SGD of 0.1."""
    noise = torch.zeros(N, *steps[0][0].shape[1:])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in steps:
        noise_batch = noise[: len(x)].clone().requires_grad_()
        loss = F.cross_entropy(net((x + noise_batch).clamp(0, 1)), y)
        optimizer.zero_grad()
        loss.backward()
        noise[: len(x)] += 0.06 * noise_batch.grad.sign()
        noise.clamp_(-EPS, EPS)
        optimizer.step()


@pytest.mark.parametrize("replays", [1, REPLAYS])
def test_training_is_that_of_the_published_loop(replays: int) -> None:
    torch.manual_seed(0)
    host = Sharp()
    plain = copy.deepcopy(host.net)
    loop = trainer(training(replays), max_steps=-1, max_epochs=4)
    loop.fit(host, TensorLoader(*data(rows=ROWS), N))
    before = copy.deepcopy(plain)
    free(plain, batches(4, replays))
    for one, other, start in zip(
        host.net.parameters(), plain.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
        assert not torch.equal(one, start)


def test_as_many_epochs_as_replays_take_each_batch_of_a_fixed_order() -> None:
    seen = {float(x.sum()) for x, _ in batches(REPLAYS, REPLAYS)}
    assert len(seen) == 6


def test_each_step_has_one_forward_of_the_hosts_step() -> None:
    host = Watching()
    trainer(training(), max_steps=4).fit(host, TensorLoader(*data(rows=ROWS), N))
    assert host.rows[-4:] == [N] * 4
    assert len(host.rows) == 4


def run(folder: Any, stop: int | None, resume: str | None = None) -> Tensor:
    torch.manual_seed(3)
    host = Modes()
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    loop = trainer(training(), ExactResume(), keep, max_steps=stop or 9, enable_checkpointing=True)
    loader = TensorLoader(*data(rows=50), N, shuffle=True, seed=5)
    loop.fit(host, loader, ckpt_path=resume)
    return torch.cat([value.double().flatten() for value in host.state_dict().values()])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("stop", [2, 5])
def test_a_resumed_run_ends_with_bit_identical_weights(stop: int, tmp_path: Any) -> None:
    whole = run(tmp_path / "whole", None)
    run(tmp_path / "part", stop)
    assert torch.equal(
        whole, run(tmp_path / "part", None, str(tmp_path / f"part/step={stop}.ckpt"))
    )


def test_lengths_in_l2_stay_in_the_ball_and_values_are_logged() -> None:
    logged, host = Logged(), Watching()
    callback = training(norm=2.0)
    trainer(callback, logged, max_steps=5, log_every_n_steps=1).fit(
        host, TensorLoader(*data(rows=ROWS), N)
    )
    lengths = callback.pools.carried["perturbation"].norm(dim=1)
    assert 0.05 < lengths.max() <= EPS + 1e-6
    assert 0 < logged.values["adversarial/input/distortion"] < EPS
    assert "adversarial/input/error" in logged.values


def test_evaluation_is_untouched() -> None:
    host = Evaluated()
    loop = trainer(training(), max_steps=2, limit_val_batches=1)
    loop.fit(host, TensorLoader(*data(rows=ROWS), N), TensorLoader(*data(), N))
    assert torch.equal(host.validated[0], data()[0])


def test_manual_optimisation_works() -> None:
    callback, host = training(), Manual()
    trainer(callback, max_steps=3).fit(host, TensorLoader(*data(rows=ROWS), N))
    assert callback.pools.carried["perturbation"].abs().max() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"attack": GradientAttack(EPS, steps=3)},
        {"attack": GradientAttack(EPS, random_start=True)},
        {"attack": GradientAttack(EPS), "goal": TrueLabels()},
    ],
    ids=["steps", "start", "goal"],
)
def test_other_attacks_and_goals_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one step and no random start, and leave goal out"):
        AdversarialTraining({"": PerturbedLayer(**options)}, scheme=Free())


def test_bad_replays_are_refused() -> None:
    with pytest.raises(ValueError, match="replays must be at least 1"):
        Free(0)
