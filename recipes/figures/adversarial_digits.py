"""Draws the README's picture: digits, and what makes a trained network misread them.

Trains a plain 784-100-100-10 network on MNIST for three epochs (a minute), finds for the first test
image of each digit that it classifies correctly the nearest adversarial example, toward the
likeliest wrong label, and writes a PNG. Run it with

    python recipes/figures/adversarial_digits.py docs/adversarial_digits.png
"""

import argparse
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor

from lit_intriguing.attacks import BoxLBFGS, SecondLikeliest
from lit_intriguing.data import MNIST
from lit_intriguing.figures import adversarial_digits
from lit_intriguing.models import Classifier
from lit_intriguing.types import Bounds


def trained(data: MNIST) -> Classifier:
    """Return a network trained on the digits, in evaluation mode."""
    model = Classifier(widths=(784, 100, 100, 10))
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, data)
    return model.eval()


def first_of_each_class(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first image of each of the ten classes, `(10, *S)`, and the labels `(10,)`."""
    rows = [int((labels == digit).nonzero()[0]) for digit in range(10)]
    return images[rows], labels[rows]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="PNG to write")
    path: Path = parser.parse_args().path
    seed_everything(0, verbose=False)
    data = MNIST()
    model = trained(data)
    data.setup("test")
    images, labels = next(iter(data.test_dataloader()))
    with torch.no_grad():
        right = model(images).argmax(1) == labels
        clean, labels = first_of_each_class(images[right], labels[right])
        wrong = SecondLikeliest()(labels, model(clean), torch.Generator())
        made = BoxLBFGS()(model, clean, wrong, bounds=Bounds())
        after = model(made.adversarial).argmax(1)
    figure = adversarial_digits(clean, made.adversarial, labels, after, magnify=5)
    figure.savefig(path, dpi=150)
    print(f"{int(made.success.sum())} of 10 read as their target; written to {path}")


if __name__ == "__main__":
    main()
