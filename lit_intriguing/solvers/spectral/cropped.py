"""A bound for images of middling size: samples, the greatest of which the image's edge weakens."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.dense import certified_norm, definite
from lit_intriguing.solvers.spectral.lanczos import top_eigenvector
from lit_intriguing.solvers.spectral.padded_axis import PaddedAxis
from lit_intriguing.solvers.spectral.peak import Peak, norms_at
from lit_intriguing.solvers.spectral.rounding import frobenius, gamma, rounded_up
from lit_intriguing.solvers.spectral.samples import Samples
from lit_intriguing.solvers.spectral.stripes import fall_of
from lit_intriguing.solvers.spectral.symbol import Symbol

SHARE = 0.05
"""s, how far all other samples are to stay below the target along V, relative to its square."""

GAIN = 5e-4
"""How much lower than the greatest sample the bound has to be to be worth the work, relative."""

ROUNDS = 6
"""Passes over the samples; after each, vectors that turned out to be missing are added to V."""

TOPS = 6
"""Samples whose top vectors are looked at before the first pass."""

Index = tuple[int, ...]
Few = dict[Index, tuple[Tensor, Tensor]]
"""Of samples: e `(m,)`, and the c `(m, r)`."""


@dataclass
class Crop:
    """A circular convolution on a torus, of which only a box of positions is left.

    Of the zero-padded convolution T and the circular one C that contains it, `T T* <= P C C* P`
    with P the projector on the positions of the outputs (`T* T` and the pixels' blocks where
    these have fewer channels). In Fourier space `C C*` is block diagonal with the Gram matrices G
    of the symbol at the samples. Let V have orthonormal columns and suppose

    * `G <= tau^2 - s V V*` at all samples but a few;
    * `G <= tau^2 - s V V* + sum e x x*`, `x = V c`, at each of these few, mostly with one x.

    Then `P C C* P <= tau^2 + max(0, kappa - s)` with kappa the greatest eigenvalue of the matrix
    `sqrt(e_j e_l) <l|P|j> <c_l|c_j>` over the few, for what they add is at most `kappa V V*`.
    A sample alone has `<j|P|j> = n / M`, so that it may exceed `tau^2` by `s (M / n - 1)`:
    the signal of one frequency does not fit into the image.

    Attributes:
        found: The symbol, of real taps.
        sizes: M in each dimension.
        thetas: theta in each dimension.
        kept: n, the box that is left, in each dimension.
        group: Of channels.
    """

    found: Symbol
    sizes: tuple[int, ...]
    thetas: tuple[float, ...]
    kept: tuple[int, ...]
    group: int
    few: Few = field(default_factory=dict)

    @property
    def share(self) -> float:
        """`<j|P|j>`."""
        return math.prod(self.kept) / math.prod(self.sizes)

    def angles(self, index: Tensor) -> Tensor:
        """Radians of samples `(B, d)`."""
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        thetas = torch.tensor(self.thetas, dtype=torch.float64)
        return 2 * math.pi * (index + thetas) / sizes

    def squares(self, index: Tensor) -> Tensor:
        """Gram matrices at samples."""
        groups = torch.full((len(index),), self.group)
        return self.found.squares_at(self.angles(index), groups)

    def mirrored(self, index: Index) -> Index:
        """Return the sample whose Gram matrix is the conjugate."""
        triples = zip(index, self.thetas, self.sizes, strict=True)
        return tuple(int(-i - 2 * theta) % size for i, theta, size in triples)

    def kappa(self, few: Few) -> float:
        """At least the greatest eigenvalue of what the few add."""
        if not few:
            return 0.0
        counts = torch.tensor([len(excess) for excess, _ in few.values()])
        index = torch.tensor(list(few), dtype=torch.float64).repeat_interleave(counts, 0)
        roots = torch.cat([excess for excess, _ in few.values()]).sqrt()
        vectors = torch.cat([vectors for _, vectors in few.values()])
        matrix = (vectors.conj() @ vectors.mT) * (roots[:, None] * roots)
        for i, (size, kept) in enumerate(zip(self.sizes, self.kept, strict=True)):
            turn = math.pi * (index[:, i] - index[:, i, None]) / size
            wave = torch.where(turn == 0, kept / size, (kept * turn).sin() / (size * turn.sin()))
            matrix = matrix * torch.polar(wave.abs(), (kept - 1) * turn) * wave.sign()
        return float(certified_norm((matrix + matrix.mH) / 2)) * (1 + 1e-9)


def cropped(found: Symbol, peaks: Sequence[Peak], axes: Sequence[PaddedAxis]) -> float | None:
    """Bound the norm of a zero-padded convolution by samples and the image's edge.

    Args:
        found: Its symbol.
        peaks: Of the symbol's norm, the greatest first.
        axes: Its dimensions.

    Returns:
        The bound; None where it would not be lower than that of the samples alone, or does not
        come about.
    """
    if found.taps.is_complex():
        return None
    sizes = tuple(
        axis.period if count > 1 else 1 for axis, count in zip(axes, found.counts, strict=True)
    )
    thetas = _farthest(peaks, sizes, fall_of(found, peaks[0], axes))
    kept = tuple(
        _kept(found, i, axis, size) for i, (axis, size) in enumerate(zip(axes, sizes, strict=True))
    )
    crops = [Crop(found, sizes, thetas, kept, group) for group in range(len(found.taps))]
    tops = [_tops(crop, peaks) for crop in crops]
    greatest = max(value for group in tops for value, _ in group.values())
    level = _level(crops[0], greatest)
    pairs = list(zip(crops, tops, strict=True))
    if any(_predicted(*pair, level) > greatest * (1 - 2 * GAIN) for pair in pairs):
        return None
    bound = max(_bound(*pair, greatest) for pair in pairs)
    return rounded_up(math.sqrt(bound)) if math.isfinite(bound) else None


def _level(crop: Crop, greatest: float) -> float:
    """Return the target's square: how far the greatest sample may exceed it, and some room."""
    return greatest * (1 - 0.6 * SHARE * (1 / crop.share - 1))


def _farthest(
    peaks: Sequence[Peak], sizes: Sequence[int], fall: Sequence[float]
) -> tuple[float, ...]:
    """Return the thetas with which the norms of the samples around the peaks are least."""

    def greatest(thetas: tuple[float, ...]) -> float:
        heights: list[float] = []
        for peak in peaks:
            places = [
                (angle * size / (2 * math.pi) - theta) % 1
                for angle, size, theta in zip(peak.angles.tolist(), sizes, thetas, strict=True)
            ]
            angles = [
                2 * math.pi * min(place, 1 - place) / size
                for place, size in zip(places, sizes, strict=True)
            ]
            heights.append(peak.norm - sum(f * a * a for f, a in zip(fall, angles, strict=True)))
        return max(heights)

    ways = [(0.5, 0.0) if size > 1 else (0.0,) for size in sizes]
    return min(itertools.product(*ways), key=greatest)


def _kept(found: Symbol, dim: int, axis: PaddedAxis, size: int) -> int:
    """Blocks of the side on which the Gram matrices act that outputs, or pixels, lie in."""
    if found.counts[dim] == 1 or size == 1:
        return size
    if found.taps.shape[-2] <= found.taps.shape[-1]:
        return min(size, axis.outputs)
    read = (axis.outputs + found.counts[dim] - 1) * axis.stride
    last = min(axis.first + axis.pixels, read) - 1
    return min(size, last // axis.stride - axis.first // axis.stride + 1)


def _tops(crop: Crop, peaks: Sequence[Peak]) -> dict[Index, tuple[float, Tensor]]:
    """Return the top eigenvalue and vector, about, of the greatest samples around the peaks."""
    places: list[Index] = []
    sizes = torch.tensor(crop.sizes, dtype=torch.float64)
    for peak in peaks:
        if peak.group != crop.group:
            continue
        low = (peak.angles * sizes / (2 * math.pi) - torch.tensor(crop.thetas)).floor()
        for side in itertools.product(*[(0, 1) if size > 1 else (0,) for size in crop.sizes]):
            index = tuple(int(i) for i in (low + torch.tensor(side)) % sizes)
            if index not in places and crop.mirrored(index) not in places:
                places.append(index)
    if not places:
        return {}
    groups = torch.full((len(places),), crop.group)
    norms = norms_at(crop.found, crop.angles(torch.tensor(places)), groups)
    best = [places[i] for i in norms.topk(min(TOPS, len(places))).indices.tolist()]
    return {index: _top(crop.squares(torch.tensor([index]))[0]) for index in best}


def _top(squares: Tensor) -> tuple[float, Tensor]:
    single = squares.to(torch.complex64)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(len(single), dtype=torch.float64, generator=generator).to(single)
    value, vector = top_eigenvector(lambda x: single @ x, start)
    return float(value), vector.to(squares)


def _predicted(crop: Crop, tops: dict[Index, tuple[float, Tensor]], level: float) -> float:
    few: Few = {}
    for index, (value, vector) in tops.items():
        excess = torch.tensor([max(0.0, value - level * (1 - SHARE))], dtype=torch.float64)
        few[index] = (excess, vector[None])
        few[crop.mirrored(index)] = (excess, vector.conj()[None])
    return level + max(0.0, crop.kappa(few) - level * SHARE)


def _bound(crop: Crop, tops: dict[Index, tuple[float, Tensor]], greatest: float) -> float:
    """Return the bound's square; infinite where it does not come about."""
    known = list(tops.values())
    for turn in range(ROUNDS):
        greatest = max([greatest, *(value for value, _ in known)])
        level = _level(crop, greatest)
        basis = _basis(crop, [vector for value, vector in known if value > 0.995 * level])
        missing = _pass(crop, basis, level, patient=turn < ROUNDS - 2)
        if not missing:
            return _total(crop, basis, level)
        known += missing
    return math.inf


def _basis(crop: Crop, vectors: Sequence[Tensor]) -> Tensor:
    """Orthonormal real columns, `(k, r)`, that span the vectors and their conjugates."""
    order = min(crop.found.taps.shape[-2:])
    if not vectors:
        return torch.zeros(order, 0, dtype=torch.float64)
    stacked = torch.stack(list(vectors), 1)
    left, values, _ = torch.linalg.svd(torch.cat([stacked.real, stacked.imag], 1), False)
    basis: Tensor = left[:, values > 1e-3]
    return basis


def _pass(crop: Crop, basis: Tensor, level: float, patient: bool) -> list[tuple[float, Tensor]]:
    """Test all samples, and note the few.

    Returns:
        Top eigenvalues and vectors of those for which V is not enough, or if patient not good
        enough.
    """
    crop.few.clear()
    missing: list[tuple[float, Tensor]] = []
    every = Samples(crop.found, crop.sizes, crop.thetas, [crop.group]).open()[:, 1:]
    shift = level * SHARE * (basis @ basis.mT)
    for index in torch.split(every, crop.found.batch):
        if patient and len(missing) > TOPS:  # the target is too low
            break
        squares = crop.squares(index)
        squares.real.add_(shift)
        levels = torch.full((len(squares),), level, dtype=torch.float64)
        passed = definite(squares, levels, whole=True)
        for row in (~passed).nonzero()[:, 0].tolist():
            place = tuple(int(i) for i in index[row])
            added = _added(squares[row], basis, level)
            enough = added is not None and float(added[0].max()) * crop.share <= SHARE * level
            if added is None or (patient and not enough):
                missing.append(_top(crop.squares(index[row : row + 1])[0]))
                missing.append((level, _top(squares[row])[1]))
            else:
                crop.few[place] = added
                crop.few.setdefault(crop.mirrored(place), (added[0], added[1].conj()))
    return missing


def _added(squares: Tensor, basis: Tensor, level: float) -> tuple[Tensor, Tensor] | None:
    """Return the least e, and c, with which a sample passes.

    With `B = level - G` they are the inverses of the negative eigenvalues of `V* B^-1 V` and
    their vectors, if there are as many of them as of B (Haynsworth's inertia of a bordered matrix).
    """
    wide = basis.to(squares)
    below = -squares
    below.diagonal().add_(level)
    solved, info = torch.linalg.solve_ex(below, wide)
    if info or not basis.shape[1]:
        return None
    values, vectors = torch.linalg.eigh(wide.mT @ solved)
    negative = values * level < -1e-2
    excess = -1 / values[negative] * (1 + 1e-6) + 1e-9 * level
    along = wide @ vectors[:, negative]
    less = squares - (along * excess) @ along.mH
    passed = definite(less[None], torch.tensor([level], dtype=torch.float64))
    return (excess, vectors[:, negative].mT.contiguous()) if bool(passed) else None


MOST = 2048
"""Vectors of the few beyond which the matrix of `kappa` takes too much time and memory."""


def _total(crop: Crop, basis: Tensor, level: float) -> float:
    if sum(len(excess) for excess, _ in crop.few.values()) > MOST:
        return math.inf
    order, columns = basis.shape
    greatest = max((float(excess.sum()) for excess, _ in crop.few.values()), default=0.0)
    share = level * SHARE
    # Of the shift and of what is added, entry by entry; then of the factorisation.
    error = gamma(4 * columns + 8) * (share + greatest) * 4 * (columns + 1)
    error += crop.found.squares_error + (level + greatest) * order * gamma(order)
    eye = torch.eye(columns, dtype=torch.float64)
    longest = 1 + float(frobenius(basis.mT @ basis - eye)) + gamma(order) * columns
    return level + error + max(0.0, crop.kappa(crop.few) - share) * longest
