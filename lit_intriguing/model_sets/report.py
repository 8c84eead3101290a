"""How what a study finds is shown: on a terminal, as Markdown, in files."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lit_intriguing.tables import Cell, markdown_table, terminal_table
from lit_intriguing.whole_files import kept_aside, write_bytes


@dataclass(frozen=True)
class Section:
    """A table with the words above it.

    Attributes:
        text: The words.
        columns: C names.
        rows: Each with C cells.
    """

    text: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Report(ABC):
    """What a study found, ready to be shown.

    Attributes:
        title: Heading.
        confidence: Of the intervals.
    """

    PICTURES: ClassVar[tuple[str, ...]]
    """Names of the files that `files` leaves out where there is nothing to draw."""

    title: str = ""
    confidence: float = 0.95

    @abstractmethod
    def sections(self, *, page: bool) -> list[Section]:
        """Return the tables.

        Args:
            page: For a page, which has more room than a terminal.
        """

    @abstractmethod
    def notes(self) -> list[str]:
        """Return what has to be said below the tables, a line each."""

    @abstractmethod
    def files(self) -> Mapping[str, str | bytes]:
        """Return name to content of each file."""

    def screen(self) -> str:
        """Return the tables for a terminal."""
        parts = [self.title]
        for one in self.sections(page=False):
            parts += [f"\n{one.text}", terminal_table(one.columns, one.rows)]
        return "\n".join([*parts, *self.notes()])

    def page(self) -> str:
        """Return the tables as Markdown."""
        parts = [f"# {self.title}\n"]
        for one in self.sections(page=True):
            parts += [f"{one.text}\n", markdown_table(one.columns, one.rows)]
        return "\n".join([*parts, "".join(f"- {note}\n" for note in self.notes())])

    def write(self, folder: Path) -> list[str]:
        """Write all files and return their names; other results in their place are kept aside.

        Args:
            folder: Where to; it is made.
        """
        files = self.files()
        # A picture of other results does not stay beside these where they have none.
        aside = kept_aside(folder, {**dict.fromkeys(self.PICTURES, b""), **files})
        if aside is not None:
            print(f"note: the tables that were there are now in {aside}", file=sys.stderr)
        for name, content in files.items():
            write_bytes(folder / name, content.encode() if isinstance(content, str) else content)
        return list(files)
