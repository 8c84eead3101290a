"""Every relative link and anchor of every page leads somewhere; nothing is asked of a network."""

import re
from pathlib import Path

import pytest

from tests.pages import DOCS, ROOT, anchors, links

FOLDERS = (DOCS, ROOT / "recipes")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in folder.rglob("*.md"))])
EVERY = [(page, link) for page in PAGES for link in dict.fromkeys(links(page))]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the pages are in a checkout alone")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    dead = [
        link for link in links(page) if not re.match(r"https?:", link) and not leads(page, link)
    ]
    assert not dead


def leads(page: Path, link: str) -> bool:
    """Return whether a relative link leads to a file of the checkout, and to a heading of it."""
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    if not target.is_file() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(target)


def test_links_to_elsewhere_are_encrypted() -> None:
    assert not [link for _, link in EVERY if link.startswith("http:")]


def test_the_links_of_a_page_are_found_and_a_dead_one_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two & three\n[a](#one-two--three) [`b`](#two) ![c](no.png)\n```bash\n[x](y)\n```\n"
    )
    assert links(page) == ["#one-two--three", "#two", "no.png"]
    assert anchors(page) == {"one-two--three"}


FROM_THE_START = {
    "how to attack their model": "docs/howto/attack.md",
    "how to train with a callback": "docs/howto/callbacks.md",
    "what a bound promises": "docs/lipschitz.md",
    "how to log to W&B": "docs/howto/wandb.md",
}


@pytest.mark.parametrize("question", FROM_THE_START)
def test_who_knows_foolbox_finds_it_in_three_clicks_of_the_start_page(question: str) -> None:
    reached, clicks = {DOCS / "index.md"}, 0
    while ROOT / FROM_THE_START[question] not in reached:
        clicks += 1
        reached |= {
            (page.parent / link.partition("#")[0]).resolve()
            for page in reached
            if page.suffix == ".md" and page.is_file()
            for link in links(page)
            if not link.startswith(("http", "#"))
        }
        assert clicks <= 3
