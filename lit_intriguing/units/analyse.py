"""The whole comparison: a network, images, layers; what their units are worth."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.splice import submodule
from lit_intriguing.units.analysis import LayerAnalysis, analyse_layer
from lit_intriguing.units.batches import (
    Batch,
    Batches,
    as_loader,
    indexed,
    number_of_images,
    selected,
)
from lit_intriguing.units.coherence import ByFeatures, ByLabels, Coherence
from lit_intriguing.units.components import RunningComponents, beside
from lit_intriguing.units.control import untrained_copy
from lit_intriguing.units.features import Features, device_of, features_of
from lit_intriguing.units.layers import matching_layers
from lit_intriguing.units.network_scan import (
    K,
    NetworkScan,
    ScanSettings,
    distinct,
)
from lit_intriguing.units.readings import Mean, Reading
from lit_intriguing.units.scan import RandomBases
from lit_intriguing.units.statistics import ROTATIONS

TRAINED, UNTRAINED, GIVEN = "trained", "untrained", "control"
"""Names of the network, of a copy with fresh weights, and of a control that is given."""

NetworkForward = Callable[[nn.Module, Tensor], object]
"""Runs a network on images."""


@dataclass(frozen=True)
class UnitReport:
    """The comparison of some layers' units with random directions.

    Attributes:
        analyses: One for each layer, network and basis.
        images: How many images there were.
    """

    analyses: Sequence[LayerAnalysis]
    images: int

    def of(self, layer: str, network: str = TRAINED, basis: str = "units") -> LayerAnalysis:
        """Return one of the analyses.

        Raises:
            KeyError: There is none of that layer, network and basis.
        """
        for one in self.analyses:
            if (one.layer, one.network, one.basis) == (layer, network, basis):
                return one
        raise KeyError((layer, network, basis))


def analyse_units(
    model: nn.Module,
    batches: Batches,
    layers: str | Sequence[str],
    *,
    reading: Reading | None = None,
    k: int = K,
    rotations: int = ROTATIONS,
    features: Features | None = None,
    directions: Mapping[str, Mapping[str, Tensor]] = {},
    principal: bool = False,
    control: bool | nn.Module = True,
    seed: int = 0,
    name: str = TRAINED,
    forward: NetworkForward | None = None,
) -> UnitReport:
    """Compare the top images of a network's units with those of random directions.

    All layers of the network and of its control are read in one pass over the images. Coherence by
    features reads the images at the top of any direction again, principal components read all
    images once before.

    Args:
        model: Any network. It runs in evaluation mode and is left as it was.
        batches: Images `(N, *S)`, a pair of images and labels, or a loader of such batches that
            can be gone through repeatedly and gives each image the same place each time.
        layers: Names of submodules, or patterns such as `features.*.relu`.
        reading: From a layer's output to activations; by default the mean over positions.
        k: Top images of each direction.
        rotations: Random bases; with fewer than 39 the two-sided p cannot reach 0.05.
        features: Of another network, for coherence by features; None for coherence by labels.
        directions: Further bases to compare: layer to name to directions `(m, D)`. The test is
            exact where they are orthonormal.
        principal: Whether to compare principal components as well.
        control: Whether to analyse a copy with fresh weights as well; or another network that has
            the layers, which the analyses call `control`.
        seed: Of the random bases, of the fresh weights, of the bootstrap.
        name: Of the network, in the analyses.
        forward: Runs a network, or its control, on images; by default they are its one argument.

    Returns:
        The analyses, layer by layer in the model's order.

    Raises:
        UserError: An unknown layer, fewer images than k, labels that tell nothing, or a name that
            is taken.
    """
    settings = ScanSettings(reading or Mean(), k, rotations, seed)
    names = matching_layers(model, [layers] if isinstance(layers, str) else layers)
    loader = as_loader(batches)
    check_number(number_of_images(loader), k)
    check_name(name, control)
    networks = {name: model, **control_of(model, control, names, seed)}
    bases: dict[str, RandomBases] = {}
    scans = {
        network: NetworkScan(
            names,
            settings,
            bases,
            beside(directions, _components(one, loader, names, settings.reading, forward))
            if principal
            else directions,
        )
        for network, one in networks.items()
    }
    labels = _scan(networks, scans, loader, features, forward)
    coherence: Coherence
    if features is None:
        coherence = ByLabels(labels)
    else:
        coherence = _coherence_by(features, loader, scans.values())
    return report(scans, coherence, seed)


def check_name(name: str, control: bool | nn.Module) -> None:
    """Raise if a network has the name of its control, whose analyses would take its place.

    Raises:
        UserError: With what to do.
    """
    taken = (UNTRAINED if control else None) if isinstance(control, bool) else GIVEN
    if name == taken:
        raise UserError(
            f"The name {name!r} is taken by the control: give the network another name, or leave "
            "the control out (control=False)."
        )


def check_number(images: int | None, k: int) -> None:
    """Raise if fewer images than k are known to come.

    Raises:
        UserError: With both numbers.
    """
    if images is not None and images < k:
        raise UserError(f"The top {k} images were asked for, and there are only {images}.")


def control_of(
    model: nn.Module, control: bool | nn.Module, layers: Sequence[str], seed: int
) -> dict[str, nn.Module]:
    """Return the control by its name in the analyses; nothing where there is to be none.

    Args:
        model: The network.
        control: Whether to make a copy with fresh weights; or the control itself.
        layers: Names of submodules that it must have as well.
        seed: Of fresh weights.

    Raises:
        UserError: The control that is given lacks a layer.
    """
    if isinstance(control, nn.Module):
        check_layers_of(control, layers)
        return {GIVEN: control}
    return {UNTRAINED: untrained_copy(model, seed)} if control else {}


def check_layers_of(control: nn.Module, layers: Sequence[str]) -> None:
    """Raise if a control lacks a layer of the network.

    Raises:
        UserError: With the nearest names.
    """
    for layer in layers:
        try:
            submodule(control, layer)
        except UserError as error:
            raise UserError(f"The control must have the network's layers. {error}") from None


def report(scans: Mapping[str, NetworkScan], coherence: Coherence, seed: int) -> UnitReport:
    """Analyse all layers of all networks.

    Args:
        scans: By name of the network, after the last image.
        coherence: Of sets of images.
        seed: Of the bootstrap.
    """
    some = next(iter(scans.values()))
    analyses = [
        one
        for layer in some.names
        for network, scan in scans.items()
        for one in analyse_layer(
            scan.layers[layer], coherence, layer=layer, network=network, seed=seed
        )
    ]
    return UnitReport(analyses, some.images)


def _coherence_by(
    features: Features, loader: Iterable[Any], scans: Iterable[NetworkScan]
) -> Coherence:
    """Read the images at the top of any direction again, and compare them by features."""
    rows = distinct(scan.top_indices() for scan in scans)
    images = (batch.images for batch in selected(loader, rows))
    return ByFeatures(rows, features_of(features, images))


def _scan(
    networks: Mapping[str, nn.Module],
    scans: Mapping[str, NetworkScan],
    loader: Iterable[Any],
    features: Features | None,
    forward: NetworkForward | None,
) -> Tensor:
    """Go through the images once; return the labels `(N,)`, or `(0,)` where there are none."""
    labels: list[Tensor] = []
    for batch in indexed(loader):
        if not any(
            scan.images for scan in scans.values()
        ):  # what cannot work is said before the pass
            _check(batch, features)
        for network, model in networks.items():
            images = batch.images.to(device_of(model))
            scans[network].add(model, images, batch.indices, _bound(forward, model))
        if batch.labels is not None:
            labels.append(batch.labels.cpu())
    return torch.cat(labels) if labels else torch.empty(0)


def _check(batch: Batch, features: Features | None) -> None:
    if features is not None:
        features_of(features, [batch.images[:2]])
    elif batch.labels is None:
        raise UserError("The data has no labels: give features to compare the images by.")


def _bound(forward: NetworkForward | None, model: nn.Module) -> Callable[[Tensor], object] | None:
    return None if forward is None else functools.partial(forward, model)


def _components(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Sequence[str],
    reading: Reading,
    forward: NetworkForward | None,
) -> Mapping[str, Tensor]:
    """Return the principal components of each layer, with a pass for these."""
    found = RunningComponents(layers, reading)
    for batch in indexed(loader):
        found.add(model, batch.images.to(device_of(model)), _bound(forward, model))
    return found.result()
