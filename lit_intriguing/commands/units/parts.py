"""Finished parts of a scan on disk, each the chunks that one process went through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.splits.resumable_store import MADE_AGAIN
from lit_intriguing.tensor_files import read_tensors
from lit_intriguing.whole_files import draft


@dataclass
class Part:
    """What a process knows of its chunks.

    Attributes:
        scans: State of each network's scan.
        sources: Fingerprint of each chunk's images, by its number.
        labels: Of each chunk, by its number.
    """

    scans: Mapping[str, Any] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    labels: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """The parts of one scan.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    def save(self, part: Part) -> None:
        """Write a part, or write it anew with more chunks; a crash leaves no half file."""
        # Each chunk is done once, so that its number names the part.
        with draft(self.folder / f"{min(part.sources):06d}.pt") as file:
            torch.save(vars(part), file)

    def load(self) -> Iterator[Part]:
        """Read the parts one by one."""
        for path in sorted(self.folder.glob("*.pt")):
            yield Part(**read_tensors(path, MADE_AGAIN))

    def sources(self) -> dict[int, str]:
        """Return the fingerprint of each chunk that is done."""
        return {index: source for part in self.load() for index, source in part.sources.items()}
