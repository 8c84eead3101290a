"""Private names of jsonargparse, one function for each."""

from argparse import SUPPRESS
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
            with _naming(str(values)):
                self.apply_config(parser, cfg, self.dest, find(str(values)))

    return ConfigFile


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Note on an error which file it came from."""
    try:
        yield
    except Exception as error:
        error._config_file = file  # type: ignore[attr-defined]
        raise


def file_of(error: BaseException | None) -> str | None:
    """Return the configuration file that was read when an error came, as the user named it.

    Args:
        error: Of a parser; its causes are looked through as well.

    Returns:
        The name; None where it came from no file, or from YAML text.
    """
    while error is not None:
        file: str | None = getattr(error, "_config_file", None)
        if file is not None:
            return None if file.lstrip().startswith("{") else file
        error = error.__cause__ or error.__context__
    return None


def merge_files(
    parser: "ArgumentParser", names: Iterable[str], find: Callable[[str], str] = str
) -> "Namespace":
    """Return what `--config` makes of several files (`ActionConfigFile.apply_config`).

    Args:
        parser: With an option `--config`.
        names: The files; later ones win.
        find: Maps each to a path that exists.

    Returns:
        The keys that the files give, without any default. Nothing is validated as a whole.
    """
    from jsonargparse import Namespace
    from jsonargparse._actions import ActionConfigFile

    merged = Namespace()  # type: ignore[no-untyped-call]
    for name in names:
        with _naming(name):
            ActionConfigFile.apply_config(parser, merged, "config", find(name))
    merged.pop("config", None)
    return merged


def restrict_imports(allowed: Sequence[str] | None) -> None:
    """Have parsers refuse class paths: those of jsonargparse's own list, or all but some.

    Its list has what runs programs or other code (`os`, `subprocess`, `pickle`, `eval`, ...);
    by itself it only warns of them. The setting holds for the process.

    Args:
        allowed: Modules whose contents may be named; None for all that is not on the list.
    """
    from jsonargparse import set_parsing_settings

    if allowed is None:
        set_parsing_settings(import_path_denylist=[])
    else:
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(allowed))


def defining_paths(thing: object) -> set[str]:
    """Return where a class, function or module is defined (`canonical_import_paths`).

    Of a partial function or an instance: where what it calls is defined.
    """
    from jsonargparse._util import canonical_import_paths

    paths: set[str] = canonical_import_paths(thing)
    return paths


def is_denied(path: str) -> bool:
    """Return whether a path is on the list of what runs code (`denying_import_path_entry`)."""
    from jsonargparse._common import denying_import_path_entry

    return denying_import_path_entry(path) is not None


def option_names(parser: "ArgumentParser") -> list[str]:
    """Return the options that a parser takes (`_actions`), dotted: `trainer.max_epochs`."""
    return [action.dest for action in parser._actions]


def leave_out_of_help(parser: "ArgumentParser", names: Collection[str]) -> None:
    """Keep options, and those below them, out of the help (`_actions`); they are taken as before.

    Args:
        parser: Changed in place.
        names: Without what follows the first dot.
    """
    for action in parser._actions:
        if action.dest.partition(".")[0] in names:
            action.help = SUPPRESS


def parser_of_subcommand(parser: "ArgumentParser", words: Sequence[str]) -> "ArgumentParser | None":
    """Return the parser of the first subcommand among some words (`_subcommands_action`).

    Args:
        parser: With subcommands or without.
        words: What the user wrote.
    """
    action = parser._subcommands_action
    found = (action.choices.get(word) for word in words) if action else ()
    return next((one for one in found if one is not None), None)
