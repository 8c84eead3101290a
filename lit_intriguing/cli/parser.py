"""The parser of the command line, with errors of one line."""

from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser
from typing_extensions import override

from lit_intriguing.cli.separate_objects import TRAINER, build_separately
from lit_intriguing.configuration import misspelt, settings
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.private import of_jsonargparse


class RefusedError(UsageError):
    """What the parser does not take. It reads files in their own folders: explain it outside."""


class Parser(LightningArgumentParser):
    """The parser, with errors of one line, whose callbacks do not touch the model's weights."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Say what is wrong."""
        if isinstance(ex, UserError):
            raise ex
        if not self.exit_on_error:  # jsonargparse tries out a member of a union
            super().error(message, ex)
        raise RefusedError(one_line(message)) from ex

    @override
    def instantiate(self, namespace: Namespace, *args: Any, **options: Any) -> Namespace:
        """Build what a configuration describes; what the Trainer gets with its own seeds."""
        namespace = namespace.clone()
        instantiate = super().instantiate
        objects = build_separately(namespace, lambda part: instantiate(part, *args, **options))
        built: Namespace = instantiate(namespace, *args, **options)
        for key, value in objects.items():
            built[f"{TRAINER}.{key}"] = value
        return built


def parsed(parser: Parser, arguments: Sequence[str]) -> Namespace:
    """Parse a whole command.

    Args:
        parser: With subcommands.
        arguments: What stands behind the command's name.

    Raises:
        UsageError: It cannot be understood; the message names the file, if it is one, and the
            nearest right spelling where a name is wrong.
    """
    first = [word for word in arguments[:1] if not word.startswith("-")]
    if not first and settings.split_off(arguments)[1]:
        raise UsageError(f"{settings.OPTION} stands behind a subcommand, such as fit.")
    result: Namespace = settings.as_arguments(
        arguments[len(first) :],
        lambda rest: _whole(parser, [*first, *rest]),
        lambda rest: _explained(parser, [*first, *rest]),
    )
    return result


def _explained(parser: Parser, arguments: Sequence[str]) -> Namespace:
    try:
        return parser.parse_args(list(arguments))
    except RefusedError as error:
        subparser = of_jsonargparse.parser_of_subcommand(parser, arguments) or parser
        misspelt.explain(arguments, subparser)
        file = of_jsonargparse.file_of(error)
        raise UsageError(f"{file}: {error}" if file else str(error)) from error


def _whole(parser: Parser, arguments: Sequence[str]) -> Config:
    """Return the configuration of a subcommand, with defaults."""
    config = _explained(parser, arguments)
    text = parser.dump(config, skip_link_targets=False, skip_none=False)
    whole: Config = yaml.safe_load(text)[config.subcommand]
    whole.pop("config", None)
    return whole
