"""The private part of wandb-workspaces: what a user sees where it changes."""

import pytest

from lit_intriguing.private import of_wandb_workspaces

# Of wandb-workspaces, not of this package.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_workspace_is_written_without_asking_the_server() -> None:
    """Where `_to_model` is gone, `lightning dashboard --file` ends with an AttributeError."""
    workspaces = pytest.importorskip(
        "wandb_workspaces.workspaces", reason="the extra dashboard is not installed"
    )
    made = workspaces.Workspace(entity="me", project="mine", name="Mine")
    found = of_wandb_workspaces.as_json(made)
    assert (found["entity"], found["project"], found["displayName"]) == ("me", "mine", "Mine")
