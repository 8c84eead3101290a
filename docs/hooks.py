"""The site is a mirror of the repository: what its pages are made of, for mkdocs.

Pages link to each other as the files of a checkout do (`../recipes/table5.md`), so the site has the
same tree; only `docs/` is at its root. Called by mkdocs (`hooks` in mkdocs.yml).
"""

import html
import json
import re
from pathlib import Path

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
MIRRORED = ("recipes", "configs")
SUFFIXES = (".md", ".yaml", ".py", ".png")
TOP = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "CITATION.cff")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each file its place in the repository as its source."""
    of_docs = [one for one in files if one.src_dir == config.docs_dir]
    site = Files([one for one in files if one.src_dir != config.docs_dir])
    for name in sorted(one.src_uri for one in of_docs if one.inclusion.is_included()):
        site.append(_file(f"docs/{name}", config))
        if name.endswith(".ipynb"):
            content = notebook_page(ROOT / "docs" / name)
            page = f"docs/{name.removesuffix('.ipynb')}.md"
            site.append(_at_the_root(File.generated(config, page, content=content)))
    for folder in MIRRORED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                site.append(_file(path.relative_to(ROOT).as_posix(), config))
    for name in TOP:
        site.append(_file(name, config))
    return site


def _file(name: str, config: MkDocsConfig) -> File:
    return _at_the_root(File(name, str(ROOT), config.site_dir, config.use_directory_urls))


def _at_the_root(file: File) -> File:
    """Let what lies in docs/ be at the site's root."""
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def notebook_page(notebook: Path) -> str:
    """Return the cells of a notebook as Markdown."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    shown = [
        f"```python\n{part}\n```" if cell["cell_type"] == "code" else part
        for cell, part in zip(cells, parts, strict=True)
    ]
    return "\n\n".join(shown) + "\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to notebooks lead to their pages; a notebook's own is for its file."""
    if page.file.src_uri.startswith("docs/notebooks/"):
        return markdown
    return re.sub(r"\]\(([^()\s]+)\.ipynb\)", r"](\1.md)", markdown)


FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">'
    r"\\(?P<open>[(\[])(?P<latex>.*?)\\[)\]]</(?P=tag)>",
    re.DOTALL,
)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which browsers draw without a script."""

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found["open"] == "[" else "inline"
        return latex2mathml.converter.convert(html.unescape(found["latex"]), display=display)

    return FORMULA.sub(mathml, content)
