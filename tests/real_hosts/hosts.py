"""All hosts by name, with the library that each needs."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tests.real_hosts import (
    of_forecasting,
    of_graphs,
    of_lightly,
    of_lightning,
    of_segmentation,
    of_timm,
    of_torchgeo,
    of_torchvision,
    of_transformers,
    of_uq_box,
)
from tests.real_hosts.host import Build

_FILES = (
    of_torchgeo,
    of_uq_box,
    of_timm,
    of_segmentation,
    of_transformers,
    of_lightly,
    of_graphs,
    of_forecasting,
    of_lightning,
    of_torchvision,
)


@dataclass(frozen=True)
class Named:
    """A host of a library.

    Attributes:
        library: Name of the distribution.
        build: Builds the host.
    """

    library: str
    build: Build


HOSTS = {
    f"{file.LIBRARY}: {name}": Named(file.LIBRARY, build)
    for file in _FILES
    for name, build in file.HOSTS.items()
}

MODULES = [file.MODULE for file in _FILES]
"""What the hosts import."""


def version_of(library: str) -> str:
    """Return the library's version; empty if it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
