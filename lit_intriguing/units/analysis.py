"""What the top images of a layer's directions say: coherence, tests, effect, verdict."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.units.activity import LEAST_SHARE
from lit_intriguing.units.coherence import Coherence
from lit_intriguing.units.scan import LayerScan
from lit_intriguing.units.statistics import (
    Effect,
    HaarTest,
    Verdict,
    effect,
    mean_test,
    top_tenth_test,
    verdict,
)

UNKNOWN = Effect(math.nan, math.nan, math.nan)
"""That of a layer without result."""


@dataclass(frozen=True)
class LayerAnalysis:
    """A basis of a layer against random bases.

    Attributes:
        layer: The layer's name.
        network: Which network: `trained`, `untrained` or `control`.
        basis: Which basis: `units`, or the name of another.
        images: How many were looked at.
        coherence: `(m,)` of each direction, float64; NaN where it is active on too few images.
        random: `(B, m')` of each random direction, float64; m' at most the active directions. NaN
            where activations are not finite.
        top: `(m, k)` indices of the top images of each direction, largest activation first.
        random_top: `(B, m', k)` likewise for each random direction.
        mean: Test of the mean coherence.
        top_tenth: Test of the best tenth.
        effect: Difference of the means in standard deviations, with its interval.
        verdict: `units`, `random`, `no distinction` or `undecided`.
        note: Why there is no result; else empty.
    """

    layer: str
    network: str
    basis: str
    images: int
    coherence: Tensor
    random: Tensor
    top: Tensor
    random_top: Tensor
    mean: HaarTest | None = None
    top_tenth: HaarTest | None = None
    effect: Effect = UNKNOWN
    verdict: Verdict = "undecided"
    note: str = ""

    @property
    def active(self) -> int:
        """Directions that are active on enough images."""
        return int((~self.coherence.isnan()).sum())


def analyse_layer(
    scan: LayerScan,
    coherence: Coherence,
    *,
    layer: str = "",
    network: str = "trained",
    seed: int = 0,
) -> list[LayerAnalysis]:
    """Compare each named basis of a layer with the random ones.

    A direction that is active on fewer than k images, or on fewer than 1%, is left out, and as
    many random directions of each basis are compared as are left.

    Args:
        scan: The top images; at least k images, and one random basis.
        coherence: Of sets of images, see `lit_intriguing.units.coherence`.
        layer: The layer's name.
        network: Which network.
        seed: Of the bootstrap.

    Returns:
        One for each basis. A layer that is dead, or whose activations are not finite, has a note
        and the verdict `undecided`.

    Raises:
        UserError: There are fewer images than k, or no random basis.
    """
    count, vectors, _ = scan.bases.directions.shape
    if not count:
        raise UserError("A comparison needs random bases: rotations must be at least 1.")
    random_top = scan.random.result()[1].view(count, vectors, scan.k)
    found = []
    for name in scan.named:
        found.append(_analyse(scan, name, random_top, coherence, layer, network, seed))
    return found


def _analyse(
    scan: LayerScan,
    name: str,
    random_top: Tensor,
    coherence: Coherence,
    layer: str,
    network: str,
    seed: int,
) -> LayerAnalysis:
    top = scan.top[name].result()[1]
    enough = scan.activity[name].enough(scan.k)
    active = min(int(enough.sum()), random_top.shape[1])
    random_top = random_top[:, :active]
    values = torch.full((len(top),), math.nan, dtype=torch.float64)
    random = torch.full((len(random_top), active), math.nan, dtype=torch.float64)
    given = LayerAnalysis(layer, network, name, scan.images, values, random, top, random_top)
    if not scan.activity[name].finite:
        return replace(given, note="some activations are not finite")
    if not active:
        return replace(
            given,
            note=f"dead: no direction is active on {scan.k} images and on {LEAST_SHARE:.0%}",
        )
    values[enough] = coherence(top[enough])
    random = coherence(random_top.flatten(0, 1)).view(random.shape)
    mean = mean_test(values[enough], random)
    found = effect(values[enough], random, seed=seed)
    return replace(
        given,
        random=random,
        mean=mean,
        top_tenth=top_tenth_test(values[enough], random),
        effect=found,
        verdict=verdict(mean.p, found),
    )
