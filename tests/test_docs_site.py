"""The site builds without warnings, and its reference has every public name."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pages import DOCS, ROOT

CONFIG = ROOT / "mkdocs.yml"
REFERENCE = sorted(page for page in (DOCS / "api").glob("*.md") if page.stem != "index")
NOT_OURS = {"Borrowed", "Shown"}
"""Names that adapters had before."""

SHOWN_ELSEWHERE = {
    "lit_intriguing",
    "lit_intriguing.lipschitz.graphs",  # its names are modules, which register their rules
    "lit_intriguing.lipschitz.layers",
    "lit_intriguing.pools",  # `PerturbedLayer` is among the callbacks
}

pytestmark = pytest.mark.skipif(not CONFIG.is_file(), reason="the site is in a checkout alone")


def pages_in(navigation: object) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for part in parts for page in pages_in(part)]


def navigation() -> set[str]:
    text = CONFIG.read_text()
    return set(pages_in(yaml.safe_load(text[text.index("\nnav:") :])["nav"]))


def test_each_page_of_docs_and_recipes_is_in_the_navigation() -> None:
    there = [*DOCS.rglob("*.md"), *(ROOT / "recipes").rglob("*.md")]
    notebooks = [page.with_suffix(".md") for page in (DOCS / "notebooks").glob("*.ipynb")]
    pages = {page.relative_to(ROOT).as_posix() for page in [*there, *notebooks]}
    project = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert navigation() == pages | project, "bring the navigation in mkdocs.yml in line"


def modules_of(page: Path) -> list[str]:
    """The modules that a page of the reference shows."""
    return re.findall(r"^::: ([a-z_.0-9]+)$", page.read_text(), re.MULTILINE)


def public_names(module: str) -> set[str]:
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():  # a function in a file of its own name
        return set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value)) - NOT_OURS
    return set()


def test_each_room_with_public_names_is_on_a_page_of_the_reference() -> None:
    rooms = {
        file.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for file in (ROOT / "lit_intriguing").rglob("__init__.py")
        if re.search(r"^__all__ = \[", file.read_text(), re.MULTILINE)
    }
    assert rooms - SHOWN_ELSEWHERE == {
        module for page in REFERENCE for module in modules_of(page) if module in rooms
    }


@pytest.mark.integration
def test_the_site_builds_without_warnings_and_holds_every_public_name(tmp_path: Path) -> None:
    for library in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(library, reason="the extra docs is not installed")
    words = ["build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for page in REFERENCE:
        text = (tmp_path / "site" / "api" / page.stem / "index.html").read_text()
        identities = re.findall(r'id="(lit_intriguing\.[\w.]+)"', text)
        shown = {one.rpartition(".")[2] for one in identities}
        assert {name for module in modules_of(page) for name in public_names(module)} <= shown
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', text)
    formulas = (tmp_path / "site" / "mathematics" / "index.html").read_text()
    assert formulas.count("<math") > 40
    assert "arithmatex" not in formulas
