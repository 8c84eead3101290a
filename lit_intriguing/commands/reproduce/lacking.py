"""What steps need and is not there, to be said before the first of them runs."""

from collections.abc import Iterable
from importlib.util import find_spec

from lit_intriguing.data_folder import DATA_VARIABLE, data_folder
from lit_intriguing.paper.plan import Step


def lacking(steps: Iterable[Step]) -> list[str]:
    """Return a line for each way to help steps that would fail, with their names.

    Args:
        steps: Those that are to run.
    """
    helped: dict[str, list[str]] = {}
    folder = data_folder()
    for step in steps:
        if any(find_spec(name) is None for name in step.modules):
            helped.setdefault(step.installed_by, []).append(step.name)
        for name in step.data:
            if folder is None or not (folder / name).exists():
                helped.setdefault(f"put {name} into ${DATA_VARIABLE}", []).append(step.name)
    return [f"{help} (for {', '.join(names)})" for help, names in helped.items()]
