"""What a step of adversarial training costs through Lightning, next to a bare PyTorch loop.

Both train 784-100-100-10 by recipes/adv_mnist_pools.yaml: pools of 2,000 examples for the input and
both hidden layers, refreshed every second step; one clean forward gives the gradients for every
layer, and examples that join at a hidden layer do not pay for the layers below. The bare loop does
nothing else: no log, no hook, the training's own forward serves the gradients. Through Lightning,
metrics stay on the device and a CSV logger is written to every 50 steps. The same with the goal
`HostLoss`, which keeps the gradients of the host's own backward pass, against the same bare loop.
Then the plainest use, a pool of the input's examples of one step in Linf by `HostLoss`, against a
plain FGSM loop: the gradient by the images, its sign, and a step on the images and the examples.
The same loop as the step of a LightningModule without callbacks shows what Lightning itself takes.
Also: clean training with the callback attached but idle, against clean training without it. Blocks
of steps alternate in one process, so that a busy machine slows all alike; seconds are those of the
process. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/adversarial_step.py
"""

import argparse
import itertools
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import Goal, GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Classifier
from lit_intriguing.models.schedules import CosineOverRun
from lit_intriguing.numerics import flush_denormals, keep_freed_memory, spare_search_for_gpus

SIZES, WEIGHTS, POOL = (1.5, 0.06, 0.06), (2.0, 1.0, 1.0), 2_000
FGSM = 0.1
"""The size of the plainest use's step, in Linf."""


class BarePool:
    """Examples and labels of one layer, some of them replaced now and then."""

    def __init__(self) -> None:
        self.rows, self.labels, self.count = torch.empty(0), torch.empty(0), 0

    def replace(self, rows: Tensor, labels: Tensor) -> None:
        """Fill up, then put the new examples over old ones chosen at random."""
        if not self.count:
            self.rows = rows.new_empty(POOL, rows.shape[1])
            self.labels = labels.new_empty(POOL)
        if self.count < POOL:
            last = min(POOL, self.count + len(rows))
            slots = torch.arange(self.count, last, device=rows.device)
            self.count += len(slots)
        else:
            slots = torch.randperm(POOL, device=rows.device)[: len(rows)]
        self.rows[slots], self.labels[slots] = rows[: len(slots)], labels[: len(slots)]

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Return some examples and their labels."""
        chosen = torch.randperm(self.count, device=self.rows.device)[:rows]
        return self.rows[chosen], self.labels[chosen]


def bare(x: Tensor, y: Tensor, batch: int, every: int) -> None:
    """Train an epoch by the recipe written out, and nothing more."""
    widths = (784, 100, 100, 10)
    weights = [
        (torch.randn(n, m, device=x.device) * math.sqrt(2 / m)).requires_grad_()
        for m, n in itertools.pairwise(widths)
    ]
    biases = [torch.zeros(n, device=x.device, requires_grad=True) for n in widths[1:]]
    optimizer = torch.optim.Adam(
        [{"params": weights, "weight_decay": 1e-5}, {"params": biases}], lr=3e-3, fused=True
    )
    steps = -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    pools = [BarePool() for _ in WEIGHTS]
    for step, rows in enumerate(torch.randperm(len(x), device=x.device).split(batch)):
        refresh = step % every == 0
        loss = bare_loss(weights, biases, x[rows].flatten(1), y[rows], pools, refresh)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def bare_loss(
    weights: list[Tensor],
    biases: list[Tensor],
    x: Tensor,
    y: Tensor,
    pools: list[BarePool],
    refresh: bool,
) -> Tensor:
    """Return the loss on a batch and on examples of each layer's pool."""
    activations = [x.requires_grad_(refresh)]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        activations.append(F.linear(activations[-1], weight, bias).relu())
    logits = F.linear(activations[-1], weights[-1], biases[-1])
    if refresh:
        bare_examples(activations, logits, y, pools)
    loss = F.cross_entropy(logits, y)
    for layer, pool in enumerate(pools):
        hidden, labels = pool.draw(len(x))
        for above in range(layer, len(weights)):
            hidden = F.linear(hidden, weights[above], biases[above])
            hidden = hidden.relu() if above + 1 < len(weights) else hidden
        loss = loss + WEIGHTS[layer] * F.cross_entropy(hidden, labels)
    return loss / (1 + sum(WEIGHTS))


def bare_examples(
    activations: list[Tensor], logits: Tensor, y: Tensor, pools: list[BarePool]
) -> None:
    """Put new examples of each layer in its pool, by the gradients of the one clean forward."""
    targets = (y + torch.randint(1, 10, y.shape, device=y.device)) % 10
    toward = F.cross_entropy(logits, targets, reduction="sum")
    gradients = torch.autograd.grad(toward, activations, retain_graph=True)
    for layer, (a, gradient) in enumerate(zip(activations, gradients, strict=True)):
        clean = a.detach()
        size = SIZES[layer] * (clean.var(0).sum().sqrt() if layer else 1)
        lengths = gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
        pools[layer].replace(clean - size * gradient / lengths, y)


def plain_fgsm(x: Tensor, y: Tensor, batch: int) -> None:
    """Train an epoch on images and their FGSM examples, as one writes it in plain PyTorch."""
    model = plain_network().to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, -(-len(x) // batch))
    for rows in torch.randperm(len(x), device=x.device).split(batch):
        loss = fgsm_loss(model, x[rows].flatten(1), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def fgsm_loss(model: nn.Module, clean: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of the losses on images and on their FGSM examples."""
    clean.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(clean), labels), clean)
    clean = clean.detach()
    examples = clean + FGSM * gradient.sign()
    loss = F.cross_entropy(model(clean), labels) + F.cross_entropy(model(examples), labels)
    return loss / 2


def plain_network() -> nn.Sequential:
    """Return the network of the plain loop."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(),
        nn.Linear(100, 10),
    )  # fmt: skip


class PlainFGSM(LightningModule):
    """The plain loop's step, with as little around it as Lightning bears.

    Args:
        steps: Of the schedule.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.net, self.steps = plain_network(), steps

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss on the batch and its examples."""
        x, y = batch
        return fgsm_loss(self.net, x.flatten(1), y)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return those of the plain loop."""
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3, weight_decay=1e-5, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def one_pool(batch: int) -> AdversarialTraining:
    """Return the callback with as many examples of FGSM as the batch has images."""
    attack = GradientAttack(FGSM, norm=math.inf)
    plan = PerturbedLayer(attack, goal=HostLoss(), pool=batch, mix=batch, refresh=batch)
    return AdversarialTraining({"": plan})


def pools(
    batch: int, every: int, start_step: int = 0, goal: Goal | None = None
) -> AdversarialTraining:
    """Return the callback with a stored pool of 2,000 examples for each layer."""
    layers = {
        name: PerturbedLayer(
            GradientAttack(size),
            weight=weight,
            goal=goal,
            relative=bool(name),
            at_layer=bool(name),
            mix=batch,
            refresh=batch,
            every_n_steps=every,
        )
        for name, size, weight in zip(("", "hidden1", "hidden2"), SIZES, WEIGHTS, strict=True)
    }
    return AdversarialTraining(layers, start_step=start_step)


def through_lightning(
    x: Tensor,
    y: Tensor,
    batch: int,
    callbacks: list[Callback],
    folder: str | None,
    model: LightningModule | None = None,
) -> None:
    """Train an epoch by `Trainer.fit`, its start and end included."""
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu" if x.device.type == "cpu" else "gpu",
        devices=1,
        callbacks=callbacks,
        logger=CSVLogger(folder) if folder else False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    model = model or Classifier(
        optimizer=lambda parameters: torch.optim.Adam(
            parameters, lr=3e-3, weight_decay=1e-5, fused=True
        ),
        scheduler=CosineOverRun,
    )
    trainer.fit(model, TensorLoader(x, y, batch, shuffle=True))


def seconds(run: Callable[[], None]) -> float:
    """Return how long it takes on the CPU."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Print milliseconds a step and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=7, help="epochs of each, alternating")
    parser.add_argument("--rows", type=int, default=60_000, help="images in an epoch")
    parser.add_argument("--batch", type=int, default=200, help="images in a step")
    parser.add_argument("--every", type=int, default=2, help="steps from refresh to refresh")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*validation_step.*")
    flush_denormals()
    keep_freed_memory()
    spare_search_for_gpus()
    seed_everything(0, verbose=False)
    x, y = torch.rand(options.rows, 1, 28, 28), torch.randint(10, (options.rows,))
    n, every, never = options.batch, options.every, 10**9
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "bare adversarial loop": lambda: bare(x, y, n, every),
            "pools through Lightning": lambda: through_lightning(
                x, y, n, [pools(n, every)], folder
            ),
            "the host's own loss": lambda: through_lightning(
                x, y, n, [pools(n, every, goal=HostLoss())], folder
            ),
            "clean through Lightning": lambda: through_lightning(x, y, n, [], None),
            "clean, callback idle": lambda: through_lightning(x, y, n, [pools(n, 1, never)], None),
            "plain FGSM loop": lambda: plain_fgsm(x, y, n),
            "one pool, the host's loss": lambda: through_lightning(x, y, n, [one_pool(n)], folder),
            "plain FGSM in Lightning": lambda: through_lightning(
                x, y, n, [], folder, PlainFGSM(-(-len(x) // n))
            ),
        }
        for run in runs.values():
            run()
        blocks = [[seconds(run) for run in runs.values()] for _ in range(options.blocks)]
    steps = -(-options.rows // n)
    for name, column in zip(runs, zip(*blocks, strict=True), strict=True):
        print(f"{name:26} {statistics.median(column) / steps * 1e3:6.2f} ms a step")
    pooled = statistics.median(block[1] / block[0] for block in blocks)
    own = statistics.median(block[2] / block[0] for block in blocks)
    idle = statistics.median(block[4] / block[3] for block in blocks)
    print(f"pools / bare {pooled:.2f} (goal: at most 1.4)")
    print(f"the host's own loss / bare {own:.2f} (goal: at most 1.15)")
    plain = statistics.median(block[6] / block[5] for block in blocks)
    print(f"idle / clean {idle:.3f} (goal: at most 1.02)")
    print(f"one pool / plain FGSM {plain:.2f} (goal: at most 1.15)")
    lightning = statistics.median(block[7] / block[5] for block in blocks)
    print(f"plain FGSM in Lightning / plain FGSM {lightning:.2f}")


if __name__ == "__main__":
    main()
