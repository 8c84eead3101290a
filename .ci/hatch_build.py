"""What the build makes: the package index's page of README.md, and what lies inside the wheel."""

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

SHIPPED = ("configs", "recipes")
LEFT_OUT = ("recipes/bench", "recipes/figures", "recipes/weights")
"""Scripts that measure the package, draw its pages' figures or pack its weights.

`recipes/results` is shipped: `lightning report` and `reproduce` read it.
"""

_IMAGE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")


def description(readme: str) -> str:
    """Return README.md without relative images, and with the words of relative links alone."""
    return _LINK.sub(r"\1", _IMAGE.sub("", readme))


def shipped(root: Path) -> dict[str, str]:
    """Return the files that go into the wheel, each with its place there."""
    files = [
        path.relative_to(root).as_posix()
        for folder in SHIPPED
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and path.suffix in (".yaml", ".md", ".py", ".json")
    ]
    return {
        str(root / name): f"lit_intriguing/{name}"
        for name in files
        if not name.startswith(LEFT_OUT)
    }


class CustomMetadataHook(MetadataHookInterface):
    """Makes the description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put it into the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts configurations and recipes into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; an editable installation finds them in the checkout."""
        if version != "editable":
            build_data["force_include"].update(shipped(Path(self.root)))
