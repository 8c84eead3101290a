"""Configuration files: the `--config` option, and reading one by the command line's rules."""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader
from jsonargparse._actions import ActionConfigFile

from lit_intriguing.configuration import shipped
from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import UsageError


def load_config(name: str) -> Config:
    """Reads a configuration by the rules of the command line (1e-3 is a number).

    Args:
        name: A file, or the name of one that is shipped with the package.

    Returns:
        Its content.

    Raises:
        UsageError: There is no such file, or it is not a YAML mapping.
    """
    path = Path(shipped.find(name))
    try:
        content = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected keys and values, found a {type(content).__name__}.")
    return content


class ConfigFile(ActionConfigFile):
    """`--config`, which also finds the files shipped with the package."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        """Resolves the name and reads the file."""
        self.apply_config(parser, cfg, self.dest, shipped.find(str(values)))
