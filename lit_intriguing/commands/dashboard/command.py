"""`lightning dashboard`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.dashboard.options import Dashboard
from lit_intriguing.configuration.parsing import parsed
from lit_intriguing.errors import UsageError


def parse(arguments: Sequence[str]) -> Dashboard:
    """Make a dashboard of the command's arguments; see `configuration.parsing.parsed`.

    Raises:
        UsageError: For an option that there is not; two recipes that are no list.
    """
    given = [word for word in arguments if word.partition("=")[0] == "--recipe"]
    if len(given) > 1:
        raise UsageError("--recipe stands twice: name several as a list, --recipe '[one, other]'.")
    try:
        return Dashboard(**parsed(Dashboard, "lightning dashboard", arguments).as_dict())
    except UsageError as error:
        if any(word.partition("=")[0] in ("--config", "-c") for word in arguments):
            raise UsageError(f"{error} The configuration of a training goes to --recipe.") from None
        raise
