"""The numbers of a probing study: class distributions along lines and in noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lit_intriguing.commands.probe.job import DIRECTIONS, ProbeJob
from lit_intriguing.metrics.probing import KINDS, Share, clustered_share
from lit_intriguing.model_sets.distortions import Distortions


@dataclass(frozen=True)
class LinePoint:
    """A model at one length of a perturbation, over all images.

    Attributes:
        direction: One of `DIRECTIONS`.
        factor: Length, in multiples of each image's own adversarial perturbation.
        probabilities: Mean predicted probability of each kind of class, (3,), in [0, 1].
        predictions: Share of predictions of each kind, (3,), in [0, 1].
        wrong: Share of wrong predictions.
    """

    direction: str
    factor: float
    probabilities: tuple[float, ...]
    predictions: tuple[float, ...]
    wrong: Share


@dataclass(frozen=True)
class CloudPoint:
    """A model in noise of one length around one centre, over all images and draws.

    Attributes:
        centre: Where on the line, in multiples of the adversarial perturbation: 0 is the image, 1
            its adversarial example.
        noise: Standard deviation of each element.
        predictions: Share of predictions of each kind, (3,), in [0, 1].
        wrong: Share of wrong predictions.
        target: Share of predictions of the class that the example reaches.
    """

    centre: float
    noise: float
    predictions: tuple[float, ...]
    wrong: Share
    target: Share


@dataclass(frozen=True)
class ModelProbes:
    """What was found for a model.

    Attributes:
        images: How many there were.
        counted: How many of them the model is correct on and has an adversarial example for.
        distortions: Of these examples.
        lines: A point for each direction and factor; empty where no image counts.
        clouds: A point for each centre and noise; empty where no image counts.
    """

    images: int
    counted: int
    distortions: Distortions
    lines: tuple[LinePoint, ...]
    clouds: tuple[CloudPoint, ...]

    def line(self, direction: str) -> list[LinePoint]:
        """Return the points in a direction, in the order of their factors."""
        return [point for point in self.lines if point.direction == direction]

    def cloud(self, centre: float) -> list[CloudPoint]:
        """Return the points around a centre, in the order of their noise."""
        return [point for point in self.clouds if point.centre == centre]


@dataclass(frozen=True)
class Probes:
    """The study's result.

    Attributes:
        models: By name, those that did not fail.
        failures: Why the others did.
    """

    models: Mapping[str, ModelProbes]
    failures: Mapping[str, str] = field(default_factory=dict)


def tabulate(
    columns: Mapping[str, Tensor],
    job: ProbeJob,
    models: Sequence[str],
    failures: Mapping[str, str],
    confidence: float = 0.95,
) -> Probes:
    """Average over images.

    Args:
        columns: See `probe`.
        job: What was asked for.
        models: M names.
        failures: What went wrong, by the model's name.
        confidence: Of the intervals.
    """
    found = {
        name: _of_model(columns, m, job, confidence)
        for m, name in enumerate(models)
        if name not in failures
    }
    return Probes(found, dict(failures))


def _of_model(
    columns: Mapping[str, Tensor], m: int, job: ProbeJob, confidence: float
) -> ModelProbes:
    counted = columns["counted"][:, m]
    count = int(counted.sum())
    own = {name: value[counted, m] for name, value in columns.items() if name != "labels"}
    return ModelProbes(
        len(counted),
        count,
        Distortions.of(own["distortion"]),
        tuple(_lines(own, job, confidence)) if count else (),
        tuple(_clouds(own, job, confidence)) if count else (),
    )


def _lines(own: Mapping[str, Tensor], job: ProbeJob, confidence: float) -> list[LinePoint]:
    means = own["probabilities"].double().mean(0)
    points = []
    for d, direction in enumerate(DIRECTIONS):
        for t, factor in enumerate(job.factors):
            kinds = own["kinds"][:, d, t]
            shares = [float((kinds == kind).double().mean()) for kind in range(len(KINDS))]
            wrong = clustered_share((kinds != 0).long(), 1, confidence)
            probabilities = tuple(means[d, t].tolist())
            points.append(LinePoint(direction, factor, probabilities, tuple(shares), wrong))
    return points


def _clouds(own: Mapping[str, Tensor], job: ProbeJob, confidence: float) -> list[CloudPoint]:
    points = []
    for k, centre in enumerate(job.centres):
        for at, noise in enumerate(job.noise):
            counts = own["counts"][:, k, at].long()
            shares = counts.double().mean(0) / job.draws
            wrong = clustered_share(counts[:, 1:].sum(1), job.draws, confidence)
            target = clustered_share(counts[:, 1], job.draws, confidence)
            points.append(CloudPoint(centre, noise, tuple(shares.tolist()), wrong, target))
    return points
