"""`lightning dashboard`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.dashboard.options import Dashboard
from lit_intriguing.configuration.parsing import parsed


def parse(arguments: Sequence[str]) -> Dashboard:
    """Make a dashboard of the command's arguments; see `configuration.parsing.parsed`."""
    return Dashboard(**parsed(Dashboard, "lightning dashboard", arguments).as_dict())
