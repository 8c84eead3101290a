"""Private names of jsonargparse, one function for each."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Action

    from jsonargparse import ArgumentParser, Namespace


def config_file_action(find: Callable[[str], str]) -> "type[Action]":
    """Return the action of `--config`, `ActionConfigFile`, with a look-up of its own for files.

    Args:
        find: Maps what the user wrote to a path that exists.
    """
    from jsonargparse._actions import ActionConfigFile

    class ConfigFile(ActionConfigFile):
        """`--config`, which also finds the files shipped with the package."""

        def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
            self.apply_config(parser, cfg, self.dest, find(str(values)))

    return ConfigFile


def merge_files(parser: "ArgumentParser", paths: Iterable[str]) -> "Namespace":
    """Return what `--config` makes of several files (`ActionConfigFile.apply_config`).

    Args:
        parser: With an option `--config`.
        paths: The files; later ones win.

    Returns:
        The keys that the files give, without any default. Nothing is validated as a whole.
    """
    from jsonargparse import Namespace
    from jsonargparse._actions import ActionConfigFile

    merged = Namespace()  # type: ignore[no-untyped-call]
    for path in paths:
        ActionConfigFile.apply_config(parser, merged, "config", path)
    merged.pop("config", None)
    return merged


def option_names(parser: "ArgumentParser") -> list[str]:
    """Return the options that a parser takes (`_actions`), dotted: `trainer.max_epochs`."""
    return [action.dest for action in parser._actions]


def parser_of_subcommand(parser: "ArgumentParser", words: Sequence[str]) -> "ArgumentParser | None":
    """Return the parser of the first subcommand among some words (`_subcommands_action`).

    Args:
        parser: With subcommands or without.
        words: What the user wrote.
    """
    action = parser._subcommands_action
    found = (action.choices.get(word) for word in words) if action else ()
    return next((one for one in found if one is not None), None)
