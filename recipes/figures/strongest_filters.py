"""Draw the strongest filters of the first stage of a QuocNet, all on one scale.

Run it as

    python recipes/figures/strongest_filters.py CHECKPOINT filters.png

with a checkpoint of `lightning fit --config recipes/quocnet_cifar.yaml`. Filters of all positions
are sorted by their norms. Below stands the share of those above 0.3 of the largest norm.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.filters import filters_figure, strongest
from lit_intriguing.models import QuocNet, ReconstructionTICA


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args(arguments)
    model = ReconstructionTICA.load_from_checkpoint(options.checkpoint, map_location="cpu")
    assert isinstance(model.network, QuocNet)
    filters = model.network.stages[0].filters.filters.detach().flatten(0, 1)
    norms = filters.flatten(1).norm(dim=1)
    share = float((norms > 0.3 * norms.max()).float().mean())
    caption = (
        f"{options.count} strongest of {len(filters)}; {share:.1%} above 0.3 of the largest norm"
    )
    shown = strongest(filters, options.count)
    options.output.write_bytes(png(filters_figure(shown, caption, one_scale=True)))
    print(caption)


if __name__ == "__main__":
    main()
