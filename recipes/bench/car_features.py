"""Errors of a linear car detector on trained features, on those of random filters, and on pixels.

Run it as

    python recipes/bench/car_features.py --encoders run0/last.ckpt run1/last.ckpt

with checkpoints of `lightning fit --config recipes/quocnet_cifar.yaml --seed_everything N`. Data,
network and seed come from each checkpoint. Logistic regression on standardised features; how
strongly it is regularised is chosen for each kind of features on the images that the recipe holds
out, which then join the training. Test images are looked at once. Writes `car_features.csv`.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from lit_intriguing.data import ImageFolder
from lit_intriguing.models import QuocNet, ReconstructionTICA

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
"""C of scikit-learn, the inverse of the regularisation."""
SHARE = 0.2
"""Of the training images, held out for the choice; as in the recipe."""

Features = Callable[[Tensor], Tensor]
Rows = tuple[Tensor, Tensor]
Row = tuple[object, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", required=True, type=Path)
    parser.add_argument("--folder", default="cifar10")
    parser.add_argument("--binary", default="automobile", help="the class told from the rest")
    parser.add_argument("--output", default="car_features.csv", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = images_of(options.folder, options.binary)
    rows: list[Row] = []
    for seed, encoder in enumerate(options.encoders):
        rows += measured(encoder, seed, parts)
    rows.append(("pixels", "", *errors(lambda x: x.flatten(1), parts)))
    with options.output.open("w", newline="") as file:
        csv.writer(file).writerows([("features", "encoder", "C", "held out %", "test %"), *rows])
    for row in rows:
        print(*row)


def images_of(folder: str, binary: str) -> dict[str, Rows]:
    """Return images and labels of the parts `train`, `validation` and `test`."""
    data = ImageFolder(folder, binary=binary, validation=SHARE, in_memory=True, workers=0, seed=0)
    data.setup(None)
    loaders = {
        "train": data.train_dataloader(),
        "validation": data.val_dataloader(),
        "test": data.test_dataloader(),
    }
    found = {}
    for name, loader in loaders.items():
        images, labels = zip(*loader, strict=True)
        found[name] = torch.cat(images), torch.cat(labels)
    return found


def measured(encoder: Path, seed: int, parts: dict[str, Rows]) -> list[Row]:
    """Return the rows of a trained network, and of one of the same shape with random filters."""
    model = ReconstructionTICA.load_from_checkpoint(encoder, map_location="cpu").eval()
    network = model.network
    assert isinstance(network, QuocNet)
    rows: list[Row] = [("trained", str(encoder), *errors(of(network), parts))]
    torch.manual_seed(seed)
    for stage in network.stages:
        stage.filters.reset_parameters()
    return [*rows, ("random", str(encoder), *errors(of(network), parts))]


def of(network: QuocNet) -> Features:
    """Return the features of a network as a function of images."""

    def features(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([network(few).flatten(1) for few in x.split(250)])

    return features


def errors(features: Features, parts: dict[str, Rows]) -> tuple[float, float, float]:
    """Return C as chosen on the held-out images, and both errors in percent."""
    found = {name: features(images) for name, (images, _) in parts.items()}
    labels = {name: labels for name, (_, labels) in parts.items()}
    train = found["train"], labels["train"]
    trials = [(error(c, train, (found["validation"], labels["validation"])), c) for c in STRENGTHS]
    held_out, best = min(trials)
    both = [torch.cat([of[part] for part in ("train", "validation")]) for of in (found, labels)]
    return best, held_out, error(best, (both[0], both[1]), (found["test"], labels["test"]))


def error(strength: float, train: Rows, test: Rows) -> float:
    """Return the error in percent of a logistic regression trained on some, of others."""
    mean, std = train[0].mean(0), train[0].std(0).clamp(min=1e-6)
    model = LogisticRegression(C=strength, max_iter=300)
    model.fit(((train[0] - mean) / std).numpy(), train[1].numpy())
    predicted = model.predict(((test[0] - mean) / std).numpy())
    return 100 * float((torch.from_numpy(predicted) != test[1]).float().mean())


if __name__ == "__main__":
    main()
