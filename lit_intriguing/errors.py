"""The errors that the command line prints as a message and not as a traceback."""


class UserError(Exception):
    """Something the user can put right: a missing file, an unknown layer, unsuitable inputs.

    The message says what was wrong and what to do. The command line prints it alone and exits
    with status 1; `LIT_INTRIGUING_TRACEBACK=1` brings the traceback back.
    """

    status = 1


class DamagedFileError(UserError):
    """A file is not as it was written."""


class UsageError(UserError):
    """A command that cannot be understood: an unknown option, class or file. Exit status 2."""

    status = 2


class InterruptedRunError(UserError):
    """The user stopped the run. Exit status 130, as shells have it for SIGINT."""

    status = 130
