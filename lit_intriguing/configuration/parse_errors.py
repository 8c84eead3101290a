"""jsonargparse's long messages, cut down to one line."""

import re

from lit_intriguing.private import of_jsonargparse

_VALUE = re.compile(r"(?:Got value|Given value): (.*)")
_KEY = re.compile(r'(?:Parser key|Key) "([^"]+)"')
_EXPECTED = re.compile(
    r"Expected an? (?:typing\.)?Literal\[([^\]]*)\]"
    r"|Expected an? (?:<class ')?([\w.]*\w)"
    r"|Not of type (\w+):"
    r"|Not a valid subclass of (\w+)"
)
_OF_A_TYPE = re.compile("Expected an? |Does not validate|Not of type|Not a valid subclass|Problem ")
"""How complaints of the parser begin; others are those of the classes that are made."""
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_NO_SUBCLASS = re.compile(r"Import path (\S+) does not correspond to a subclass of (\w+)")
_DENIED = re.compile(r"Importing '([^']+)' is not allowed, denied by")
_NO_PATH = re.compile(r"\n\s*- Expected a path but .* either not accessible or invalid")
_REQUIRED = re.compile(r"Problem with given class_path '[\w.]*?(\w+)':.*?Requirement '", re.DOTALL)
_REQUIREMENT = re.compile(r"Requirement '([\w-]+)")
_EXTRAS = ("mlflow", "tensorboard")
"""Of this package, for loggers of Lightning's."""
_ARGUMENTS = re.compile(r"the following arguments are required: (.*)")
_REFUSED = re.compile(r"Not of type \w+: (\S+) (?:does not conform|not an integer)")
_IN_WORDS = {"NoneType": "null", "dot": "a class or function", "import": "a class or function"}
"""What jsonargparse calls "a dot import path string" and "an import path to a callable"."""
_RESTRICTED = {
    "PositiveInt": "int > 0",
    "NonNegativeInt": "int >= 0",
    "PositiveFloat": "float > 0",
    "NonNegativeFloat": "float >= 0",
    "ClosedUnitInterval": "float from 0 to 1",
    "OpenUnitInterval": "float between 0 and 1",
}
"""jsonargparse's numbers of a range."""


def in_words(error: Exception) -> str:
    """Return what a parser's error says in one line, after the name of the file it came from."""
    file = of_jsonargparse.file_of(error)
    return f"{file}: {one_line(str(error))}" if file else one_line(str(error))


def one_line(message: str) -> str:
    """Say which key has which unsuitable value, and what was expected.

    Args:
        message: What the parser has to say, often tens of lines for nested types.

    Returns:
        One line; the message itself without its line breaks where it has another form.

    >>> one_line('Parser key "trainer.max_epochs": Expected a int. Got value: ten')
    "trainer.max_epochs: expected int, got 'ten'."
    >>> one_line('Parser key "split": Expected a typing.Literal["a", "b"]. Got value: x')
    "split: expected a or b, got 'x'."
    >>> one_line("Importing 'os.system' is not allowed, denied by the 'os' entry.")[:27]
    'os.system may not be named:'
    >>> one_line("Problem with given class_path 'a.MLFlowLogger': Requirement 'mlflow>=1' not met.")
    "MLFlowLogger needs mlflow, which is not installed: pip install 'lit-intriguing[mlflow]'"
    >>> one_line("Something    else happened")
    'Something else happened'
    """
    denied = _DENIED.search(message)
    if denied is not None:
        return (
            f"{denied.group(1)} may not be named: it runs programs or other code, or is not "
            "trusted. Name a class or function of your own that does what you want."
        )
    stranger = _NO_SUBCLASS.search(message)
    if stranger is not None:
        path, kind = stranger.groups()
        key = f"{_KEY.findall(message)[-1]}: " if _KEY.search(message) else ""
        return (
            f"{key}{path} is no {kind}: give a class of that kind, or a function that says what it "
            f"returns ('-> {kind}')."
        )
    lacking = _REQUIRED.search(message[_deepest(message) :])
    extras = [name for name in _REQUIREMENT.findall(message) if name in _EXTRAS]
    if lacking is not None and extras:
        return (
            f"{lacking[1]} needs {extras[0]}, which is not installed: pip install "
            f"'lit-intriguing[{extras[0]}]'"
        )
    message = _NO_PATH.sub("", message)  # any class may be given in a file: not what was meant
    whole_key = _KEY.search(message)
    start = _deepest(message)
    branch = _own_branch(message, start) if start else message
    required = _ARGUMENTS.search(branch) if start else None
    if required is not None and whole_key is not None:
        return f"{whole_key[1]} ({_owner(branch)}): give {required[1].strip()}, which it needs."
    value = _VALUE.search(branch) or _VALUE.search(message[start:])
    expected = list(dict.fromkeys(map(_kind, _EXPECTED.finditer(branch))))
    if whole_key is None or value is None or not expected:
        return " ".join(_first_member(message).split())
    key = whole_key.group(1) + _inside(message, start)
    refused = _REFUSED.search(branch) or value
    return f"{key}: expected {' or '.join(expected)}, got '{refused.group(1).strip()}'."


def _kind(found: re.Match[str]) -> str:
    """Say what one member of a union takes."""
    choices, name, restricted, owner = found.groups()
    if owner is not None:
        return owner
    if choices is not None:
        return " or ".join(choice.strip("'\" ") for choice in choices.split(","))
    if restricted is not None:
        return _RESTRICTED.get(restricted, restricted)
    bare = name.rpartition(".")[2]
    return _IN_WORDS.get(bare, bare)


def _deepest(message: str) -> int:
    """Return where the last nested class's own complaint starts; 0 without nesting."""
    return max((m.start() for m in _CLASS.finditer(message)), default=0)


def _own_branch(message: str, start: int) -> str:
    """Cut off the other members of the unions around, which complain about the same value."""
    line = message[message.rfind("\n", 0, start) + 1 : start]
    depth = len(line) - len(line.lstrip())
    return re.split(rf"\n {{0,{depth}}}(?=\S)", message[start:], maxsplit=1)[0]


def _first_member(message: str) -> str:
    """Return what a class says of its own arguments, else what the first member of a union says.

    The first member is the one that was meant, but a class may be a later one, or lie deeper, where
    each union around it complains of the type as well.
    """
    member = r"^ *- (.*?)(?=\n *- |\n *Given value|\n *Subtypes:|\Z)"
    listed = re.findall(member, message, re.DOTALL | re.MULTILINE)
    own = [one for one in listed if not _OF_A_TYPE.match(one)]
    return next(iter(own or listed), message)


def _inside(message: str, start: int) -> str:
    """Name the class and its parameter, for a complaint from inside a class's arguments."""
    if start == 0:
        return ""
    key = _KEY.search(message[start:])
    name = _owner(message[start:])
    return f" ({name}.{key.group(1)})" if key else f" ({name})"


def _owner(branch: str) -> str:
    """Return the name of the class whose complaint begins here."""
    owner = _CLASS.match(branch)
    return owner[1].rpartition(".")[2] if owner else ""
