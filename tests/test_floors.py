"""A file imports from floors below its own, or from its own room without a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lit_intriguing"
FLOORS = [
    {
        "types",
        "argument_types",
        "autograd",
        "checks",
        "errors",
        "intervals",
        "spelling",
        "numerics",
        "data_folder",
        "private",
        "lookup",
    },
    {"moved", "tables", "misfit", "shipped_weights", "trusted", "sharded_folder"},
    {""},  # the package itself answers import paths of old
    {"solvers", "isolation", "splice", "tensor_files", "whole_files", "patience"},
    {"sharded_files"},
    {"attacks", "lipschitz", "units"},
    {"metrics", "schemes"},  # models log metrics
    {"models", "data", "robustness", "sanity"},
    {"figures", "hosts"},
    {"loggers"},
    {"pools", "splits"},
    {"callbacks"},
    {"configuration"},
    {"paper"},
    {"commands.attack", "commands.evaluate", "commands.lipschitz", "commands.units"},
    {"trainer"},
    {"cli"},
    {"training_runs"},  # they build their runs as the command line does
    {"model_sets"},
    {"commands.ablate", "commands.dashboard", "commands.transfer"},
    {"commands.probe"},
    {"commands.report"},
    {"commands.reproduce"},
    {"commands", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LIGHTNING = {"lightning", "torchmetrics", "pytorch_lightning"}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def room_of(module: str) -> str:
    """Names the room of a module; each command has one of its own."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["commands"] else 1])


def imports(file: Path) -> Iterator[str]:
    """Yields each imported module, also where it is imported by name from its package."""
    package = module_of(file) if file.name == "__init__.py" else module_of(file).rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module or ""] if node.level else [node.module or ""])
            for alias in node.names:
                inner = f"{base.rstrip('.')}.{alias.name}"
                yield inner if inner in MODULES else base.rstrip(".")


def ours(file: Path) -> set[str]:
    return {m for m in imports(file) if m.split(".")[0] == "lit_intriguing"}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_each_file_has_a_floor_and_imports_from_below(file: Path) -> None:
    room = room_of(module_of(file))
    assert room in FLOOR, f"give the room '{room}' a floor in this test"
    for target in ours(file):
        below = room_of(target)
        assert below == room or FLOOR[below] < FLOOR[room], (
            f"{module_of(file)} (floor {FLOOR[room]}) imports {target} (floor {FLOOR[below]})"
        )


def test_no_two_files_import_each_other_in_a_circle() -> None:
    graph = {
        name: {m for m in ours(file) if m in MODULES} - {name} for name, file in MODULES.items()
    }
    done: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in done and needs <= done}:
        done |= ready
    assert graph.keys() - done == set()


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_lightning_enters_only_where_it_may(file: Path) -> None:
    module = module_of(file)
    room = room_of(module)
    allowed = (
        room in {"models", "data", "metrics"} or FLOOR[room] >= FLOOR["hosts"] or room == "private"
    )
    if not allowed:
        assert not {m.split(".")[0] for m in imports(file)} & LIGHTNING
