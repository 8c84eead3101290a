"""One way to make the object that a configuration describes."""

from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lit_intriguing.configuration import class_paths, misspelt
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.errors import UsageError


def instance(value: Any, kind: Any, key: str) -> Any:
    """Make an object.

    Args:
        value: A class path, or a mapping with `class_path` and `init_args`.
        kind: The type of the object, also a union.
        key: What the value is called in messages.

    Raises:
        UsageError: There is no such class, it is of another kind, or does not take these arguments.
    """
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, Mapping) and "class_path" not in value and misspelt.is_class(kind):
        raise UsageError(f"{key}: a class_path is missing in {dict(value)}.")
    class_paths.bring_in()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument(f"--{key}", type=kind)
    try:
        return parser.instantiate(parser.parse_object({key: value}))[key]
    except (ArgumentError, TypeError, ValueError) as error:
        misspelt.check({key: value}, [key], {key: kind})
        raise UsageError(one_line(str(error))) from error
