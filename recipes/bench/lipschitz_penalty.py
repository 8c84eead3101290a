"""What the penalty of recipes/lipschitz_mnist.yaml does, beside the same network without it.

For each weight of the penalty and each seed it trains as the recipe does (weight 0 is
recipes/baseline_mnist.yaml) and prints a row: error in percent on the 10,000 test images, or with
`--held-out` on the last 10,000 training images, trained on the others; the layers' norms; the
product and the joint bound of the network; the median certified L2 radius over all images, by
pairs of classes, zero where the prediction is wrong; and the mean distortion of box-constrained
L-BFGS, toward random targets, on the first images. Then rows of means and
standard deviations for each weight. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/lipschitz_penalty.py --weights 0 3e-3 --seeds 0 1 2 3 4
"""

import argparse
import logging
import statistics
import warnings

import torch
from lightning.pytorch import Trainer, seed_everything

from lit_intriguing.attacks import BoxLBFGS
from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.callbacks import LipschitzPenalty
from lit_intriguing.data import MNIST
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.lipschitz.certificate import certified_radius, float64_logits
from lit_intriguing.lipschitz.dense.layers import dense_layers
from lit_intriguing.lipschitz.dense.stack import pair_norms
from lit_intriguing.lipschitz.network import network_norm
from lit_intriguing.models import Classifier
from lit_intriguing.models.schedules import CosineOverRun

SHAPE = (1, 28, 28)
COLUMNS = ("error, %", "hidden1", "hidden2", "output", "product", "joint", "radius", "distortion")


def trained(weight: float, epochs: int, seed: int, data: MNIST) -> Classifier:
    """Return a network of the recipe, of its last epoch."""
    seed_everything(seed, verbose=False)
    model = Classifier(
        optimizer=lambda parameters: torch.optim.Adam(
            parameters, lr=3e-3, weight_decay=1e-4, fused=True
        ),
        scheduler=CosineOverRun,
    )
    Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        callbacks=[LipschitzPenalty(weight)] if weight else [],
    ).fit(model, data)  # fmt: skip
    return model.eval()


def row(model: Classifier, images: Split, attacked: int) -> list[float]:
    """Return the numbers of a network."""
    x, y = images.inputs, images.labels
    logits = float64_logits(model, x)
    found = network_norm(model, SHAPE)
    assert found.joint is not None
    layers = dense_layers(model, SHAPE)
    assert layers is not None
    pairs = pair_norms([weight for _, weight, _ in layers], [s for *_, s in layers[:-1]])
    radii = certified_radius(logits, pairs, y)
    generator = torch.Generator().manual_seed(0)
    made = attack_chunk(model, BoxLBFGS(), x[:attacked], y[:attacked], generator)
    return [
        100 * (logits.argmax(1) != y).double().mean().item(),
        *(layer.norm.value for layer in found.layers),
        found.product.value,
        found.joint.value,
        radii.median().item(),
        made.distortion[made.success].double().mean().item(),
    ]


def shown(name: str, numbers: list[float]) -> str:
    """Return a line of the table."""
    return f"| {name} | " + " | ".join(f"{number:.4g}" for number in numbers) + " |"


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 3e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--held-out", action="store_true", help="the test images untouched")
    parser.add_argument("--attacked", type=int, default=500, help="images that are attacked")
    options = parser.parse_args()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    data = MNIST(batch_size=200, validation=10_000 if options.held_out else 0)
    data.prepare_data()
    images = data.load_training()[1] if options.held_out else data.load_test()
    assert images is not None
    print("| weight, seed | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for weight in options.weights:
        rows = []
        for seed in options.seeds:
            model = trained(weight, options.epochs, seed, data)
            rows.append(row(model, images, options.attacked))
            print(shown(f"{weight:g}, {seed}", rows[-1]), flush=True)
        columns = list(zip(*rows, strict=True))
        print(shown(f"**{weight:g}, mean**", [statistics.mean(each) for each in columns]))
        if len(rows) > 1:
            spread = [statistics.stdev(each) for each in columns]
            print(shown(f"**{weight:g}, deviation**", spread), flush=True)


if __name__ == "__main__":
    main()
