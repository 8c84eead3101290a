"""Private names of wandb-workspaces, one function for each."""

import json
from typing import Any


def as_json(view: Any) -> dict[str, Any]:
    """Return a workspace or a report as W&B's server gets it, without asking it.

    Args:
        view: A `Workspace` or a `Report`.
    """
    text = view._to_model().model_dump_json(by_alias=True, exclude_none=True)
    found: dict[str, Any] = json.loads(text)
    return found
