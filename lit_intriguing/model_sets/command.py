"""Options to a study of several models."""

from collections.abc import Sequence
from typing import Any, get_type_hints

from lit_intriguing.configuration.instances import instance
from lit_intriguing.configuration.parsing import by_name, parsed
from lit_intriguing.model_sets.sources import ModelSource


def read(study: type, prog: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Read the options of a study of several models.

    Args:
        study: The class whose parameters are the options.
        prog: The command.
        arguments: What stands behind it; see `parsed`.

    Returns:
        Its parameters; models as `ModelSource`, data, attack, goal and bounds as objects, all
        others as plain values.

    Raises:
        UsageError: The arguments do not describe a study.
        SystemExit: Status 0, after the help that `--help` asks for.
    """
    plain = parsed(study, prog, arguments)
    values, hints = plain.as_dict(), get_type_hints(study)
    values["models"] = by_name(values["models"], ModelSource)
    for name in ("data", "attack", "goal", "bounds"):
        values[name] = instance(plain[name], hints[name], name)
    return values
