"""One way to read a configuration: a file, a shipped one by its name, or YAML text."""

from pathlib import Path
from typing import Any

import yaml

from lit_intriguing.configuration import shipped
from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import UsageError


def load_config(name: str) -> Config:
    """Read a configuration.

    Args:
        name: A file, the name of one that is shipped with the package, or YAML text in braces.

    Returns:
        Its keys and values.

    Raises:
        UsageError: There is no such file, it holds no keys and values in YAML, or a key is null.
    """
    found = shipped.find(name)
    is_text = found.lstrip().startswith("{")
    where = "the configuration" if is_text else found
    try:
        content = yaml_value(found if is_text else Path(found).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        place = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise UsageError(f"{where}{place}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: not a YAML text file.") from error
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror or error}.") from error
    if content is None:
        raise UsageError(
            f"{where} is empty: it holds no keys and values. Take it out of the command, or write "
            "what it is to change, such as 'trainer: {max_epochs: 3}'."
        )
    if not isinstance(content, dict):
        raise UsageError(f"{where}: expected keys and values, found a {type(content).__name__}.")
    _refuse_null_keys(content, "", where)
    return content


def _refuse_null_keys(content: object, key: str, where: str) -> None:
    """Raise where a key is null, which no option, class or layer is called."""
    if isinstance(content, list):
        for index, item in enumerate(content):
            _refuse_null_keys(item, f"{key}[{index}]", where)
    if not isinstance(content, dict):
        return
    for name, value in content.items():
        if name is None:
            raise UsageError(
                f"{where}: {key or 'the file'} has null as a key. Write the name of a layer; the "
                'model\'s input is the empty name, "".'
            )
        _refuse_null_keys(value, f"{key}.{name}" if key else str(name), where)


def yaml_value(text: str) -> Any:
    """Read YAML by the rules of the command line, where 1e-3 is a number.

    Raises:
        yaml.YAMLError: The text is no YAML.

    >>> yaml_value("[1e-3, Timer]")
    [0.001, 'Timer']
    """
    # Imported here: the command line asks for files before it imports what takes long.
    from jsonargparse import get_loader

    return get_loader("yaml")(text)
