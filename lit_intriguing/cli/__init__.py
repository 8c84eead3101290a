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
from lit_intriguing import shipped_weights
from lit_intriguing.cli import delegate, system_errors
from lit_intriguing.cli.help import texts
from lit_intriguing.cli.subcommands import NEEDS, NEWEST, STUDIES, SUBCOMMANDS, TRAINER_SUBCOMMANDS
from lit_intriguing.configuration import shipped
from lit_intriguing.configuration.arguments import is_config, pairs, written
from lit_intriguing.configuration.files import load_config
from lit_intriguing.errors import InterruptedRunError, UsageError, UserError
from lit_intriguing.sharded_folder import is_sharded, what_is_missing
from lit_intriguing.spelling import did_you_mean

GLOBAL_OPTIONS = ("--help", "--version", "--config", "--print_config")
HELP_ALL = "--help.all"
_SIGPIPE = 128 + 13
"""Exit status of a process whose reader went away, as shells have it."""
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
    except BrokenPipeError:  # of `lightning attack | head`
        _close_output()
        sys.exit(_SIGPIPE)
    except (UserError, KeyboardInterrupt, OSError, RuntimeError) as error:
        told = _told(error)
        if told is None or os.environ.get("LIT_INTRIGUING_TRACEBACK") == "1":
            raise
        print(f"lightning: {told}", file=sys.stderr)
        sys.exit(told.status)


def _told(error: BaseException) -> UserError | None:
    """Return what is said of an error in place of a traceback; None where that is wanted."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRunError("interrupted.")
    line = system_errors.in_one_line(error)
    return None if line is None else UserError(line)


def _dispatch(arguments: list[str]) -> None:
    match arguments:
        case []:
            raise UsageError(f"no subcommand given: {', '.join(SUBCOMMANDS)} (see --help).")
        case ["-h" | "--help", *_]:
            _show(texts.overview())
        case ["--version", *_]:
            print(f"lit-intriguing {lit_intriguing.__version__}")
        case [first, *_] if first.startswith("-"):
            _check_global_option(first)
            _run(arguments)
        case [first, *rest] if first in SUBCOMMANDS and {"-h", "--help"} & set(rest):
            _show(texts.of_subcommand(first))
        case [first, *_] if first in SUBCOMMANDS:
            _run(arguments)
        case [first, *_]:
            _pass_on(first, arguments)


def _show(text: str) -> None:
    """Print a help text; a reader that closes early, such as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _close_output()


def _close_output() -> None:
    """Send what is left, such as Python's own flush, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    if HELP_ALL in arguments:
        arguments = [arguments[0], "--help"]
    else:
        _check_files(arguments)
        _check_needs(arguments)
    # Imported here, since they bring torch; the first before anything starts torch's threads.
    from lit_intriguing.numerics import (
        flush_denormals,
        keep_freed_memory,
        spare_search_for_gpus,
    )

    flush_denormals()
    keep_freed_memory()
    from lit_intriguing.cli.quiet import silence_adverts

    silence_adverts()
    if arguments[0] in STUDIES:
        module = importlib.import_module(STUDIES[arguments[0]][0])
        module.parse(arguments[1:]).run()
    else:
        from lit_intriguing.cli.program import run

        spare_search_for_gpus()
        run(arguments)


def _check_needs(arguments: list[str]) -> None:
    """Refuse a command without what it works on, before what takes seconds to import."""
    need = NEEDS.get(arguments[0], "model" if arguments[0] in TRAINER_SUBCOMMANDS else None)
    if need is None or any("://" in value for option, value in pairs(arguments)):
        return
    given = {key.partition(".")[0] for _, config in written(arguments) for key in config}
    if need not in given and not (need == "model" and "ckpt_path" in given):
        raise UsageError(
            f"{arguments[0]} needs `{need}`, and nothing given has it: name a recipe, or a "
            f"configuration of your own, as in: {texts.EXAMPLES[arguments[0]]}\n"
            f"`lightning --help` lists the recipes, `lightning {arguments[0]} --help` the options."
        )


def _check_files(arguments: list[str]) -> None:
    for option, value in pairs(arguments):
        if is_config(option):
            path = shipped.find(value)
            if Path(path).is_file():
                load_config(path)
        elif option == "--ckpt_path":
            _check_checkpoint(value, (*WEIGHTS_IN_WORDS, *([NEWEST] * (arguments[0] == "fit"))))


def _check_checkpoint(value: str, words: Sequence[str]) -> None:
    if value in words or value.startswith("registry") or "://" in value:
        return
    path = shipped_weights.found_checkpoint(value)
    if not path.exists():
        folder = path.parent
        beside = [p.as_posix() for p in folder.glob("*.ckpt")] if folder.is_dir() else []
        known = [*beside, *shipped_weights.names()]
        raise UsageError(f"no checkpoint '{value}'.{did_you_mean(value, known)}")
    if is_sharded(path):
        missing = what_is_missing(path)
        if missing is not None:
            raise UsageError(
                f"{value} is an incomplete sharded checkpoint: it has no {missing}, as where "
                "saving was cut off. Take another copy of it, or an earlier checkpoint."
            )
    elif path.is_dir():
        inside = next((p.as_posix() for p in sorted(path.rglob("*.ckpt"))), None)
        hint = f" Give a file in it, such as {inside}." if inside else ""
        raise UsageError(f"{value} is a folder, and no checkpoint.{hint}")
    elif not path.is_file():
        raise UsageError(f"{value} is no file that could be a checkpoint.")
