"""The shipped recipes, with a line each: the first line of the comment at a recipe's head."""

import re

from lit_intriguing.configuration import shipped

_HEAD = re.compile(r"# lightning (\w+): (.*)")


def recipes() -> dict[str, list[tuple[str, str]]]:
    """Return name and line of each recipe, by the subcommand that it is for."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in shipped.names():
        folder, _, name = path.removesuffix(".yaml").partition("/")
        if folder == "recipes":
            with (shipped.root() / path).open(encoding="utf-8") as file:
                head = _HEAD.match(file.readline())
            subcommand, line = head.groups() if head else ("", "")
            found.setdefault(subcommand, []).append((name, line))
    return found
