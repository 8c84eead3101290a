"""The command line's front door: what can be answered without torch is answered here.

Importing torch and Lightning takes seconds, so `--help`, `--version`, unknown subcommands and
missing files are dealt with first; the rest is `lit_intriguing.cli.program`.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import lit_intriguing
from lit_intriguing.cli import delegate
from lit_intriguing.cli.subcommands import STUDIES, SUBCOMMANDS
from lit_intriguing.configuration import shipped
from lit_intriguing.configuration.arguments import is_config, pairs
from lit_intriguing.configuration.files import load_config
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.spelling import did_you_mean

GLOBAL_OPTIONS = ("--help", "--version", "--config", "--print_config")
WEIGHTS_IN_WORDS = ("best", "last", "hpc")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: The arguments; those of the process where None.

    Raises:
        SystemExit: Status 2 for a command that cannot be understood, 1 for other errors that the
            user can put right. Each is one message on standard error.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        _dispatch(arguments)
    except UserError as error:
        if os.environ.get("LIT_INTRIGUING_TRACEBACK") == "1":
            raise
        print(f"lightning: {error}", file=sys.stderr)
        sys.exit(error.status)


def _dispatch(arguments: list[str]) -> None:
    match arguments:
        case []:
            raise UsageError(f"no subcommand given: {', '.join(SUBCOMMANDS)} (see --help).")
        case ["-h" | "--help", *_]:
            print(overview())
        case ["--version", *_]:
            print(f"lit-intriguing {lit_intriguing.__version__}")
        case [first, *_] if first.startswith("-"):
            _check_global_option(first)
            _run(arguments)
        case [first, *_] if first in SUBCOMMANDS:
            _run(arguments)
        case [first, *_]:
            _pass_on(first, arguments)


def overview() -> str:
    """Return the help text of the whole command."""
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: lightning SUBCOMMAND [--config FILE ...] [--KEY=VALUE ...]",
            "",
            "Intriguing properties of neural networks, from the command line.",
            "",
            "subcommands:",
            *lines,
            "",
            "options:",
            "  --config FILE  YAML; may be given several times, later files win. A file that is",
            "                 not on disk is looked for among the recipes and configs shipped.",
            "  --version      show the version and exit",
            "  --help         show this text; `lightning SUBCOMMAND --help` lists all options",
            "",
            f"recipes: {', '.join(_recipes())}",
        ]
    )


def _recipes() -> list[str]:
    return [name for name in shipped.names() if name.startswith("recipes/")]


def _check_global_option(option: str) -> None:
    name = option.split("=")[0]
    if name not in GLOBAL_OPTIONS and not is_config(name):
        suggestion = did_you_mean(name, GLOBAL_OPTIONS)
        raise UsageError(f"no option '{name}' before the subcommand.{suggestion}")


def _pass_on(subcommand: str, arguments: list[str]) -> None:
    """Hand what is not ours to another distribution's `lightning`, where there is one."""
    other = delegate.other_command()
    if other is None:
        suggestion = did_you_mean(subcommand, SUBCOMMANDS)
        raise UsageError(f"no subcommand '{subcommand}'.{suggestion}")
    delegate.run(other, arguments)


def _run(arguments: list[str]) -> None:
    if not {"-h", "--help"} & set(arguments):
        _check_files(arguments)
    # Imported here, since both bring torch; the first before anything starts torch's threads.
    from lit_intriguing.numerics import flush_denormals

    flush_denormals()
    if arguments[0] in STUDIES:
        module = importlib.import_module(STUDIES[arguments[0]][0])
        module.parse(arguments[1:]).run()
    else:
        from lit_intriguing.cli.program import run

        run(arguments)


def _check_files(arguments: list[str]) -> None:
    for option, value in pairs(arguments):
        if is_config(option):
            path = shipped.find(value)
            if Path(path).is_file():
                load_config(path)
        elif option == "--ckpt_path":
            _check_checkpoint(value)


def _check_checkpoint(value: str) -> None:
    if value in WEIGHTS_IN_WORDS or value.startswith("registry") or "://" in value:
        return
    path = Path(value)
    if not path.exists():
        folder = path.parent
        beside = [p.as_posix() for p in folder.glob("*.ckpt")] if folder.is_dir() else []
        raise UsageError(f"no checkpoint '{value}'.{did_you_mean(value, beside)}")
