"""Write the weights of a run into the package.

`python recipes/weights/ship.py NAME CKPT CONFIG ...`: NAME is what they are called, CKPT a
checkpoint of the run, CONFIG its configurations. Only what makes the network again is written: its
parameters, weights, and the versions.
"""

import sys
from pathlib import Path

import torch

from lit_intriguing.model_sets.sources import ModelSource, fit_config, load_model
from lit_intriguing.models.described import Described, checkpoint_of
from lit_intriguing.shipped_weights import FOLDER
from lit_intriguing.whole_files import draft


def ship(name: str, checkpoint: str, configs: list[str]) -> Path:
    """Write `weights/<name>.ckpt` and return its path."""
    config = fit_config(configs)
    config["model"]["init_args"].pop("encoder", None)  # its weights are among the network's
    model = load_model(ModelSource(checkpoint=checkpoint), config, None)
    assert isinstance(model, Described)
    path = FOLDER / f"{name}.ckpt"
    with draft(path) as file:
        torch.save(checkpoint_of(model), file)
    return path


if __name__ == "__main__":
    written = ship(sys.argv[1], sys.argv[2], sys.argv[3:])
    print(f"{written}: {written.stat().st_size / 1e6:.2f} MB")
