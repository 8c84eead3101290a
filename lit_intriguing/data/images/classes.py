"""From names of classes to labels: by folders, or by a file."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError
from lit_intriguing.spelling import did_you_mean


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: Of each label, as a reader wants to see it.
        labels: Label of each name by which a folder or a file of labels may call the class.
        source: Where they come from, for messages.
    """

    names: tuple[str, ...]
    labels: Mapping[str, int]
    source: str

    def label(self, name: str) -> int:
        """Return the label of a name, or of a label in digits.

        Raises:
            UserError: If it is no class; the message has the nearest name.
        """
        if name in self.labels:
            return self.labels[name]
        if name.isdecimal() and str(int(name)) in self.labels:
            return self.labels[str(int(name))]
        if name.isdecimal() and int(name) < len(self.names):
            return int(name)
        raise UserError(
            f"'{name}' is none of the {len(self.names)} classes of {self.source}."
            f"{did_you_mean(name, self.labels)}"
        )

    def labels_of(self, names: Sequence[str], place: Path) -> list[int]:
        """Return the labels of many names.

        Args:
            names: Of classes.
            place: Where they stand, for the message.

        Raises:
            UserError: With all that are no classes, if there are any.
        """
        found = {}
        unknown = []
        for name in sorted(set(names)):
            try:
                found[name] = self.label(name)
            except UserError:
                unknown.append(name)
        if unknown:
            few = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            raise UserError(
                f"{place} has {len(unknown)} classes that are none of the {len(self.names)} of "
                f"{self.source}: {few}.{did_you_mean(unknown[0], self.labels)} Name a file or "
                "list that has them as the data's `classes`, or move their images away"
            )
        return [found[name] for name in names]


def classes_from(names: Iterable[Sequence[str]], source: str) -> Classes:
    """Return classes in the order of their labels.

    Args:
        names: Of each class, any number; the last is the one to show.
        source: Where they come from, for messages.

    Raises:
        UserError: If there are none, or two classes have the same first name.
    """
    all_names = [tuple(str(one).strip() for one in of) for of in names]
    if not all_names or not all(of and all(of) for of in all_names):
        raise UserError(f"{source} names no class, or one of its classes has no name")
    firsts = [of[0] for of in all_names]
    if len(set(firsts)) < len(firsts):
        twice = next(name for name in firsts if firsts.count(name) > 1)
        raise UserError(f"{source} has the class '{twice}' twice")
    labels: dict[str, int] = {}
    shared = set()
    for label, of in enumerate(all_names):
        for name in set(of):
            # ImageNet has two classes "crane": such a name tells nothing.
            shared |= {name} & labels.keys()
            labels[name] = label
    labels = {name: label for name, label in labels.items() if name not in shared}
    labels |= {name: label for label, name in enumerate(firsts)}
    return Classes(tuple(of[-1] for of in all_names), labels, source)


def named_in(names: Iterable[str], source: str) -> Classes:
    """Return the classes that a file of labels names: sorted, or by number if all are numbers."""
    different = sorted(set(names))
    if all(name.isdecimal() for name in different):
        different = [str(label) for label in range(max(map(int, different)) + 1)]
    return classes_from([[name] for name in different], source)


def read_classes(source: str | Path | Sequence[str]) -> Classes:
    """Return the classes of a list of names, or of a file, also within `$LIT_INTRIGUING_DATA`.

    Args:
        source: Names in the order of their labels, or a file:

            - `.json`: a list of names, `{"0": "tench", ...}`, `{"tench": 0, ...}`, or the usual
              form of ImageNet, `{"0": ["n01440764", "tench"], ...}`;
            - `.csv`: one class a row, names in its cells; with a column of labels in any order;
            - otherwise text: a line for each class, which is called by the whole line or by its
              first word.

    Raises:
        UserError: If there is no such file, or it does not name classes 0, 1, 2, ...
    """
    if not isinstance(source, str | Path):
        return classes_from([[name] for name in source], "the list of classes")
    path = found_file(str(source))
    if not path.is_file():
        raise UserError(f"no file of classes '{source}'")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            names = _of_json(json.loads(text), path)
        elif path.suffix.lower() == ".csv":
            names = _of_table([row for row in csv.reader(text.splitlines()) if any(row)], path)
        else:
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            names = [[line.split()[0], line] for line in lines]
            if len({of[0] for of in names}) < len(names):  # names of several words
                names = [[line] for line in lines]
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as a file of classes: {error}") from error
    return classes_from(names, str(path))


def _of_json(content: Any, path: Path) -> list[Sequence[str]]:
    if isinstance(content, list):
        return [one if isinstance(one, list) else [one] for one in content]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds neither a list nor a mapping of classes")
    if all(isinstance(value, int) for value in content.values()):
        return _in_order({value: [name] for name, value in content.items()}, len(content), path)
    named = {
        int(key) if str(key).isdecimal() else -1: value if isinstance(value, list) else [value]
        for key, value in content.items()
    }
    return _in_order(named, len(content), path)


def _of_table(rows: list[list[str]], path: Path) -> list[Sequence[str]]:
    for start in (0, 1):  # 1: below a heading
        for column in range(len(rows[start]) if len(rows) > start else 0):
            cells = [row[column] if column < len(row) else "" for row in rows[start:]]
            if all(cell.strip().isdecimal() for cell in cells):
                named = {
                    int(cell): [*row[:column], *row[column + 1 :]]
                    for cell, row in zip(cells, rows[start:], strict=True)
                }
                return _in_order(named, len(cells), path)
    return [[cell for cell in row if cell] for row in rows]


def _in_order(named: Mapping[int, Sequence[str]], count: int, path: Path) -> list[Sequence[str]]:
    if sorted(named) != list(range(count)):
        raise UserError(f"{path} must give its {count} classes the labels 0 to {count - 1}, once")
    return [named[label] for label in range(count)]


def one_against_the_rest(classes: Classes, name: str) -> Classes:
    """Return two classes: 1 for the named one, 0 for all others.

    Raises:
        UserError: If there is no such class.
    """
    one = classes.label(name)
    digits = {str(label): int(label == one) for label in range(len(classes.names))}
    named = {each: int(label == one) for each, label in classes.labels.items()}
    return Classes(("rest", classes.names[one]), digits | named, classes.source)
