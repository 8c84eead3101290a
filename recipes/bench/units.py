"""What the comparison of units with random directions adds to the forward passes.

For each batch in turn: images are read, go through the network alone, and through the network with
the scan of its layers (`NetworkScan`). Seconds are those of the process, on one thread. The ratio
is that of reading and scan to reading and bare passes; the first batch is not counted. Memory is
the largest resident set of the process after 200 images and after all. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/units.py squeezenet
    OMP_NUM_THREADS=1 python recipes/bench/units.py digits --rotations 39
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torchvision.models import squeezenet1_0

from lit_intriguing.data import MNIST, ImageFolder
from lit_intriguing.models import ConvolutionalNetwork
from lit_intriguing.units.network_scan import NetworkScan, ScanSettings

SQUEEZENET = ["features.1", "features.3", "features.5", "features.7", "features.9", "features.12",
              "classifier.1"]  # fmt: skip
DIGITS = ["conv1", "active1", "conv2", "active2", "hidden", "active", "output"]
EARLY = 200
"""Images after which the memory is looked at for the first time."""


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=["squeezenet", "digits"])
    parser.add_argument("--rotations", type=int, default=19, help="random bases")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50)
    return parser.parse_args()


def prepared(options: argparse.Namespace) -> tuple[nn.Module, LightningDataModule, list[str]]:
    """Return a network, images and layers. Weights are random: they cost as much as others."""
    torch.manual_seed(0)
    if options.network == "squeezenet":
        photographs = ImageFolder(
            "imagenet/sample", size=227, resize=256, test=1, workers=0, limit=options.images,
            eval_batch_size=options.batch,
        )  # fmt: skip
        return squeezenet1_0(), photographs, SQUEEZENET
    return ConvolutionalNetwork(), MNIST(eval_batch_size=options.batch), DIGITS


def seconds(action: Callable[[], object]) -> tuple[object, float]:
    """Return what an action returns, and its seconds on the processor."""
    start = time.process_time()
    result = action()
    return result, time.process_time() - start


def resident() -> float:
    """Return the largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Go through the images, and print the ratio and the memory."""
    options = arguments()
    torch.set_num_threads(1)
    model, data, layers = prepared(options)
    model.eval()
    data.prepare_data()
    data.setup("test")
    scan = NetworkScan(layers, ScanSettings(rotations=options.rotations))
    spent, done, memory = torch.zeros(3), 0, {}
    batches = iter(data.test_dataloader())
    while done < options.images:
        batch, reading = seconds(lambda: next(batches))
        images = batch[0]  # type: ignore[index]
        indices = torch.arange(done, done + len(images))
        with torch.no_grad():
            bare = seconds(lambda images=images: model(images))[1]
        scanned = seconds(lambda i=images, n=indices: scan.add(model, i, n))[1]
        if done:  # the first batch draws the bases
            spent += torch.tensor([reading, bare, scanned])
        done += len(images)
        if done >= EARLY:
            memory.setdefault(done, resident())
    reading, bare, scanned = spent.tolist()
    directions = sum(one.bases.directions.shape[:2].numel() for one in scan.layers.values())
    print(f"{done} images, {len(layers)} layers, {directions} random directions")
    print(f"seconds: reading {reading:.1f}, bare {bare:.1f}, with the scan {scanned:.1f}")
    print(f"ratio: {(reading + scanned) / (reading + bare):.2f}; of the passes alone: "
          f"{scanned / bare:.2f}")  # fmt: skip
    first, last = min(memory), max(memory)
    print(f"memory: {memory[first]:.0f} MB after {first} images, {memory[last]:.0f} after {last}")


if __name__ == "__main__":
    main()
