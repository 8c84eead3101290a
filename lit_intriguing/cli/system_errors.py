"""What the operating system refuses, in a line each: a full disk, a folder that is read-only."""

import errno

_WAYS_OUT = {
    errno.EACCES: "this user may not: name another place, or change the permissions",
    errno.EDQUOT: "the quota is used up: make room; the same command goes on where it can",
    errno.EISDIR: "a folder, where a file is wanted",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ENOSPC: "the disk is full: make room; the same command goes on where it can",
    errno.ENOTDIR: "a part of this path is a file: name another folder",
    errno.EPERM: "this user may not: name another place, or change the permissions",
    errno.EROFS: "that is read-only: name another place",
}
_OF_TORCH = ("PytorchStreamWriter failed", "iostream error", "unexpected pos")
"""What `torch.save` says where a file cannot be written; it does not say why."""


def in_one_line(error: BaseException) -> str | None:
    """Return what to say of an error that is not the program's.

    Args:
        error: Any.

    Returns:
        One line; None where it is about something else.

    >>> in_one_line(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device: the disk is full: make room; the same command goes on where it can.'
    >>> in_one_line(OSError(errno.EIO, "Input/output error"))
    """
    if isinstance(error, OSError) and error.errno in _WAYS_OUT:
        place = "" if error.filename is None else f" ({_short(str(error.filename))})"
        return f"{error.strerror}{place}: {_WAYS_OUT[error.errno]}."
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_TORCH):
        return (
            f"a file could not be written ({str(error).splitlines()[0][:200]}): is the disk full? "
            "Make room; the same command goes on where it can."
        )
    return None


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:80]}...{name[-40:]}"
