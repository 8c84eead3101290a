"""A training on two ranks in an interpreter of its own, which has touched no GPU before it forks.

    python -m tests.gpu.two_ranks cpu FOLDER EPOCHS [CHECKPOINT]

Prints the validation error as its last line.
"""

import sys
from pathlib import Path

from tests.gpu.training import train


def main() -> None:
    """Train as `tests.gpu.training.train` does, and print the error."""
    device, folder, epochs, *resume = sys.argv[1:]
    trainer = train(
        device, Path(folder), epochs=int(epochs), resume=resume[0] if resume else None,
        devices=2, strategy="ddp_fork",
    )  # fmt: skip
    print(float(trainer.callback_metrics["val/error"]))


if __name__ == "__main__":
    main()
