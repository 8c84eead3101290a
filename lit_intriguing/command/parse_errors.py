"""jsonargparse's long messages, cut down to one line."""

import re

_VALUE = re.compile(r"(?:Got value|Given value): (.*)")
_KEY = re.compile(r'(?:Parser key|Key) "([^"]+)"')
_EXPECTED = re.compile(r"Expected an? (?:<class ')?([\w.]*\w)")
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")


def one_line(message: str) -> str:
    """Says which key has which unsuitable value, and what was expected.

    Args:
        message: what the parser has to say, often tens of lines for nested types.

    Returns:
        One line; the message itself without its line breaks where it has another form.

    >>> one_line('Parser key "trainer.max_epochs": Expected a int. Got value: ten')
    "trainer.max_epochs: expected int, got 'ten'."
    >>> one_line("Something    else happened")
    'Something else happened'
    """
    whole_key = _KEY.search(message)
    start = _deepest(message)
    branch = _own_branch(message[start:]) if start else message
    value = _VALUE.search(branch) or _VALUE.search(message[start:])
    expected = list(dict.fromkeys(_EXPECTED.findall(branch)))
    if whole_key is None or value is None or not expected:
        return " ".join(_first_member(message).split())
    key = whole_key.group(1) + _inside(message, start)
    wanted = " or ".join("null" if name == "NoneType" else name for name in expected)
    return f"{key}: expected {wanted}, got '{value.group(1).strip()}'."


def _deepest(message: str) -> int:
    """Finds where the last nested class's own complaint starts; 0 without nesting."""
    return max((m.start() for m in _CLASS.finditer(message)), default=0)


def _own_branch(message: str) -> str:
    """Cuts off the other members of the outer union, which complain about the same value."""
    return message.split("\n    - ")[0]


def _first_member(message: str) -> str:
    """Returns what the first member of a union has to say; it is the one that was meant."""
    listed = re.search(r"Errors:\n\s*- (.*?)(?=\n\s*- |\n\s*Given value|\Z)", message, re.DOTALL)
    return listed.group(1) if listed else message


def _inside(message: str, start: int) -> str:
    """Names the class and its parameter, for a complaint from inside a class's arguments."""
    if start == 0:
        return ""
    owner = _CLASS.match(message[start:])
    key = _KEY.search(message[start:])
    name = owner.group(1).rsplit(".", 1)[-1] if owner else ""
    return f" ({name}.{key.group(1)})" if key else f" ({name})"
