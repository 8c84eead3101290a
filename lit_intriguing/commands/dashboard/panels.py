"""What a dashboard shows, before it is put into the words of W&B."""

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """Curves over the steps, of all scalars whose whole names match.

    Attributes:
        title: Drawn above.
        pattern: A regular expression, of what RE2 knows: no look-ahead.
        log: Whether the vertical axis is logarithmic.
    """

    title: str
    pattern: str
    log: bool = False

    def found(self, keys: Collection[str]) -> set[str]:
        """Return which of the logged keys it shows."""
        return {key for key in keys if re.search(self.pattern, key)}


@dataclass(frozen=True)
class Picture:
    """A series of figures."""

    title: str
    key: str

    def found(self, keys: Collection[str]) -> set[str]:
        """Return which of the logged keys it shows."""
        return {self.key} & set(keys)


@dataclass(frozen=True)
class Rows:
    """A table, the last one logged."""

    title: str
    key: str

    def found(self, keys: Collection[str]) -> set[str]:
        """Return which of the logged keys it shows."""
        return {self.key} & set(keys)


Panel = Lines | Picture | Rows


@dataclass(frozen=True)
class Section:
    """Panels under one heading.

    Attributes:
        title: The heading.
        text: What they show, for the report.
        panels: At least one.
    """

    title: str
    text: str
    panels: tuple[Panel, ...]


def escaped(text: str) -> str:
    r"""Return the pattern of a text; as `re.escape`, which also escapes what JavaScript does not.

    >>> escaped("val-1.error")
    'val-1\\.error'
    """
    return re.sub(r"([.^$*+?{}\[\]|()\\])", r"\\\1", text)


def named(*names: str) -> str:
    r"""Return the pattern of these names and no others.

    >>> named("examples/success", "val.error")
    '^(examples/success|val\\.error)$'
    """
    return f"^({'|'.join(map(escaped, names))})$"


def under(prefix: str, ending: str) -> str:
    """Return the pattern of what is named between a prefix and an ending, a pattern itself.

    >>> under("units", "/effect")
    '^units/.+/effect$'
    """
    return f"^{escaped(prefix)}/.+{ending}$"


def without_ending(prefix: str, *endings: str) -> str:
    """Return the pattern of what stands below a prefix and ends otherwise than these texts.

    Args:
        prefix: Of the names.
        endings: Texts, each with another last letter.

    >>> pattern = without_ending("lipschitz", "_estimate", "seconds")
    >>> names = ("fc", "fc_estimate", "gate", "estimate_seconds", "heads")
    >>> [bool(re.search(pattern, f"lipschitz/{name}")) for name in names]
    [True, False, True, False, True]
    """
    # Without look-ahead: another last letter; or for each other letter of an ending, that it is
    # another one and the rest as in the ending.
    others = [f"[^{''.join(re.escape(ending[-1]) for ending in endings)}]"]
    others += [
        f"[^{re.escape(ending[at])}]{re.escape(ending[at + 1 :])}"
        for ending in endings
        for at in range(len(ending) - 1)
    ]
    return f"^{escaped(prefix)}(/.*)?({'|'.join(others)})$"
