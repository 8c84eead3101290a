"""The pages of docs/ as the tests read them: blocks of code, links, headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]*(?:\([^()]*\))?[^()\s]*)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the heading above it."""

    heading: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found, heading = [], ""
    for part in re.split(r"(^```\w+[^\n]*\n.*?^```$)", page.read_text(), flags=re.M | re.S):
        if fence := _FENCE.match(part):
            found.append(Block(heading, *fence.groups()))
        elif above := _HEADING.findall(part):
            heading = above[-1][1]
    return found


@dataclass(frozen=True)
class Example:
    """A block of Python in a page, and what stands below it as its output, in one line."""

    heading: str
    code: str
    log: str


def examples(page: Path) -> list[Example]:
    """Return the blocks of Python of a page."""
    found = blocks(page)
    below = [one.code if one.language == "text" else "" for one in found[1:]]
    return [
        Example(one.heading, one.code, " ".join(log.split()))
        for one, log in zip(found, [*below, ""], strict=True)
        if one.language == "python"
    ]


def prose(page: Path) -> str:
    """Return a page without its blocks of code, and without code within lines."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "`x`", text)


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w\s-]", "", title.lower()).strip().replace(" ", "-")
        for _, title in _HEADING.findall(text)
    }
