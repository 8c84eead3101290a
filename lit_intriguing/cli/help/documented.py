"""The options of a command, read out of the source that declares them.

Importing them would bring torch and Lightning, which takes seconds.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lit_intriguing

_ROOT = Path(lit_intriguing.__file__).parent
_ENTRY = re.compile(r"^ {4}(\w+): (.*)$")
_FILLED_IN = ("self", "model", "datamodule")
"""Parameters of a Trainer's method that the program fills in."""


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: Without dashes.
        kind: What it takes, as short text; empty for a class whose name says nothing.
        text: What it is.
    """

    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class Documented:
    """What a command does, and its options, in the order in which they are declared."""

    summary: str
    options: tuple[Option, ...]


def of_command(name: str) -> Documented | None:
    """Return what `commands/<name>/options.py` declares.

    Args:
        name: The subcommand: there is a Trainer's method of that name, or a dataclass, in that
            file; the options of a dataclass's bases follow its own.

    Returns:
        None for a subcommand of Lightning's own.
    """
    file = _ROOT / "commands" / name / "options.py"
    if not file.is_file():
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_method(node)
    study = [node for node in tree.body if isinstance(node, ast.ClassDef)][-1]
    return _of_dataclass(study, tree)


def _of_method(node: ast.FunctionDef) -> Documented:
    summary, texts = _parts(node)
    options = [
        Option(one.arg, _kind(one.annotation), texts[one.arg])
        for one in node.args.args
        if one.arg not in _FILLED_IN
    ]
    return Documented(summary, tuple(options))


def _of_dataclass(node: ast.ClassDef, tree: ast.Module) -> Documented:
    summary, texts = _parts(node)
    kinds = dict(_fields(node))
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0]
        module = _imported_from(tree, name)
        if module is None:
            continue
        there = ast.parse(module.read_text(encoding="utf-8"))
        (parent,) = [n for n in there.body if isinstance(n, ast.ClassDef) and n.name == name]
        _, inherited = _parts(parent)
        texts = {**inherited, **texts}
        kinds = {**dict(_fields(parent)), **kinds}
    options = [Option(name, kind, texts[name]) for name, kind in kinds.items()]
    return Documented(summary, tuple(options))


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for one in node.body:
        if not isinstance(one, ast.AnnAssign):
            continue
        if not ast.unparse(one.annotation).startswith("ClassVar"):
            yield ast.unparse(one.target), _kind(one.annotation)


def _imported_from(tree: ast.Module, name: str) -> Path | None:
    """Return the file of ours from which a name is imported."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            parts = (node.module or "").split(".")
            if parts[0] == _ROOT.name:
                return _ROOT.joinpath(*parts[1:]).with_suffix(".py")
    return None


def _parts(node: ast.FunctionDef | ast.ClassDef) -> tuple[str, dict[str, str]]:
    """Return a docstring's first line, and what it says of each argument."""
    lines = (ast.get_docstring(node) or "").splitlines()
    texts: dict[str, str] = {}
    name = ""
    begin = lines.index("Args:") if "Args:" in lines else len(lines)
    for line in lines[begin + 1 :]:
        entry = _ENTRY.match(line)
        if entry:
            name = entry[1]
            texts[name] = entry[2]
        elif line.startswith(" " * 8):
            texts[name] += " " + line.strip()
        else:
            break
    return lines[0], texts


def _kind(annotation: ast.expr | None) -> str:
    """Return what a parameter takes, in short.

    >>> _kind(ast.parse("Literal['a', 'b'] | None", mode="eval").body)
    'a|b'
    >>> _kind(ast.parse("list[PositiveInt] | None", mode="eval").body)
    '[INT, ...]'
    """
    text = ast.unparse(annotation) if annotation is not None else ""
    text = text.replace(" | None", "")
    if text.startswith("Literal["):
        return "|".join(re.findall(r"'([^']*)'", text))
    for ending, short in (("int", "INT"), ("float", "NUMBER"), ("str", "TEXT")):
        if re.fullmatch(rf"(\w*{ending.title()}|{ending})", text):
            return short
        if re.fullmatch(rf"list\[(\w*{ending.title()}|{ending})\]", text):
            return f"[{short}, ...]"
    if text == "bool":
        return "true|false"
    if text.lower().startswith(("dict[", "mapping[")):
        return "{NAME: ...}"
    known = {
        "Split": "train|validation|test",
        "Interval": "wilson|exact",
        "str | list[str]": "FILE|[FILE, ...]",
        "list[str] | str": "NAME|[NAME, ...]",
    }
    return known.get(text, "CLASS")
