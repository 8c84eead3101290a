"""The output folder of a command, so that a stopped one is resumed and no result replaced.

The folder holds a manifest with the settings, and a file for each finished chunk. A run with the
same settings skips these chunks. At the end the chunks are replaced by the files made of them.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.splits import locks
from lit_intriguing.splits.fingerprint import differences
from lit_intriguing.tensor_files import check_archive, read_tensors
from lit_intriguing.whole_files import draft, read_checked_json, write_checked_json

_MANIFEST, _CHUNKS = "manifest.json", "chunks"
MADE_AGAIN = "delete this file, and the same command makes it again"
"""What to do about a damaged file of a run that goes on."""


@dataclass(frozen=True)
class Chunk:
    """A finished chunk.

    Attributes:
        columns: Its examples: tensors with one entry for each.
        source: Fingerprint of the images and labels they were made from.
        seconds: Time the attack took.
    """

    columns: Mapping[str, Tensor]
    source: str
    seconds: float


@dataclass(frozen=True)
class Store:
    """The folder of one attack, which can be stopped and resumed.

    Attributes:
        folder: Where everything is.
    """

    folder: Path

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to something else: results are never replaced in silence.

        Args:
            settings: What the examples depend on.

        Raises:
            UserError: If it holds results of other settings, or files of something else. A folder
                in which no chunk was finished holds no results.
        """
        content = self._manifest()
        if not content:
            if self.folder.is_dir() and not _only_begun(self.folder):
                raise UserError(
                    f"the folder {self.folder} holds other files: name a new one as output."
                )
            return
        for name in content.get("finished", {}).get("files", []):
            path = self.folder / name
            if not path.is_file():
                raise UserError(
                    f"{self.folder} has lost its {name}: delete the folder to begin again."
                )
            check_archive(path, "delete the folder to begin again")
        found = list(differences(content["settings"], _as_saved(settings)))
        if found and not _only_begun(self.folder):
            raise UserError(
                f"{self.folder} holds results of other settings ({'; '.join(found)}): name "
                "another output, or delete the folder to begin again."
            )

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write the settings down, or resume an attack that was begun before.

        The folder belongs to this process until `locks.release_all`.

        Raises:
            UserError: As `check`; if another run works there, or nothing can be written.
        """
        self.check(settings)
        if self.finished is not None:
            return
        try:
            self._chunks.mkdir(parents=True, exist_ok=True)
            if os.access(self.folder, os.W_OK):  # what is complete may be looked at elsewhere
                locks.hold(self.folder)
            saved = _as_saved(settings)
            if self._manifest().get("settings") != saved:
                self._write_manifest({"settings": saved})
        except OSError as error:
            raise UserError(f"cannot write to {self.folder}: {error}. Name another.") from error

    @property
    def finished(self) -> dict[str, Any] | None:
        """`files`, `summary` and `sources` (see `finish`) of a finished attack; else None."""
        found: dict[str, Any] | None = self._manifest().get("finished")
        return found

    def source(self, index: int) -> str | None:
        """Return the fingerprint of the examples of a finished chunk; None if it is not done."""
        if (finished := self.finished) is not None:
            sources: list[str] = finished["sources"]
            return sources[index] if index < len(sources) else None
        return self.load(index).source if self._path(index).is_file() else None

    def save(self, index: int, chunk: Chunk) -> None:
        """Write a chunk; a crash leaves no half file."""
        columns = {name: _compact(column) for name, column in chunk.columns.items()}
        with draft(self._path(index)) as file:
            torch.save({**vars(chunk), "columns": columns}, file)

    def load(self, index: int) -> Chunk:
        """Read a chunk; its tensors stay on disk until they are used."""
        return Chunk(**read_tensors(self._path(index), MADE_AGAIN, mmap=True))

    def indices(self) -> list[int]:
        """Return the numbers of the finished chunks."""
        return sorted(int(path.stem) for path in self._chunks.glob("*.pt"))

    def chunks(self) -> Iterator[Chunk]:
        """Return the finished chunks in order, one at a time."""
        return (self.load(index) for index in self.indices())

    def finish(self, sources: list[str], files: list[str], summary: Mapping[str, Any]) -> None:
        """Note in the manifest that the files are written, and delete the chunks.

        Args:
            sources: Fingerprint of each chunk's examples.
            files: Names of the files.
            summary: What the attack reached, as plain values.
        """
        end = {"files": files, "summary": dict(summary), "sources": sources}
        self._write_manifest({**self._manifest(), "finished": end})
        for path in self._chunks.glob("*"):
            path.unlink()
        if self._chunks.is_dir():  # not where files were written anew
            self._chunks.rmdir()
        locks.release(self.folder)

    @property
    def _chunks(self) -> Path:
        return self.folder / _CHUNKS

    def _path(self, index: int) -> Path:
        return self._chunks / f"{index:06d}.pt"

    def _manifest(self) -> dict[str, Any]:
        return read_checked_json(self.folder / _MANIFEST, "delete the folder to begin again")

    def _write_manifest(self, content: Mapping[str, Any]) -> None:
        write_checked_json(self.folder / _MANIFEST, content)


def _only_begun(folder: Path) -> bool:
    """Say whether a folder is empty, or as a run leaves it that was killed before its manifest."""
    for path in folder.iterdir():
        empty = path.name == _CHUNKS and path.is_dir() and not any(path.iterdir())
        begun = path.name in (locks.NAME, _MANIFEST) or path.match(f".{_MANIFEST}.*.tmp")
        if not (empty or begun):
            return False
    return True


def _compact(column: Tensor) -> Tensor:
    """Return a copy of a view, which would take all of what it views to disk."""
    whole = column.untyped_storage().nbytes() == column.nbytes
    return column if whole else column.clone()


def _as_saved(settings: Mapping[str, Any]) -> Any:
    """Return the settings as they come back from a file."""
    return json.loads(json.dumps(settings))
