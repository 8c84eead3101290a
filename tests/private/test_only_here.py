"""Private names of other libraries are used in the room `private` and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lit_intriguing"
FILES = sorted(PACKAGE.rglob("*.py"))
LOOK_UPS = {"getattr", "setattr", "hasattr", "delattr"}

DOCUMENTED = {"_fields", "_exit", "_replace", "_getframe", "_value_", "_plot"}
"""Public in spite of their spelling: of named tuples, `os` and `sys`, enums, and metrics."""

TREES = {file: ast.parse(file.read_text()) for file in FILES}


def is_private(name: object) -> bool:
    """Whether a name, or a member of a dotted one, begins with a single underscore."""
    return isinstance(name, str) and any(
        part.startswith("_") and not part.startswith("__") for part in name.split(".")
    )


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a file gives to functions, classes, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) in ("self", "cls") else []


KNOWN = DOCUMENTED | {name for tree in TREES.values() for name in defined(tree)}


def used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each private attribute or module member that a file reaches for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("lit_"):
            names = [node.module or "", *(alias.name for alias in node.names)]
            yield from ((node.lineno, name) for name in names if is_private(name))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if is_private(name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in LOOK_UPS:
            names = [one.value for one in node.args[1:2] if isinstance(one, ast.Constant)]
            yield from ((node.lineno, str(name)) for name in names if is_private(name))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_private_names_of_others_are_used_in_their_room_alone(file: Path) -> None:
    where = str(file.relative_to(PACKAGE))
    if where.startswith("private/"):
        return
    found = [f"{name} (line {line})" for line, name in used(TREES[file]) if name not in KNOWN]
    assert not found, f"put {', '.join(found)} into lit_intriguing/private"


@pytest.mark.parametrize(
    "source",
    [
        "module._trainer",
        "from torch._subclasses import fake_tensor",
        "from torch.x import _name",
        "import torch._dynamo",
        "getattr(trainer, '_connector')",
    ],
)
def test_the_ways_to_reach_a_private_name_are_seen(source: str) -> None:
    assert [name for _, name in used(ast.parse(source))]


def test_our_own_names_and_public_ones_are_none() -> None:
    source = (
        "class A:\n    def _mine(self):\n        self._x = self.y.z\n        return self.__dict__"
    )
    tree = ast.parse(source)
    assert {name for _, name in used(tree)} - set(defined(tree)) == set()
