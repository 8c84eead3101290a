"""The model of a command that names a checkpoint which says how it was made, and no model."""

from collections.abc import Sequence
from typing import Any

import yaml

from lit_intriguing.configuration.arguments import written
from lit_intriguing.models.described import KEY, check_format
from lit_intriguing.models.weights import read_options
from lit_intriguing.sharded_folder import is_sharded
from lit_intriguing.shipped_weights import found_checkpoint


def described_model(
    ckpt_path: str | None, weights_only: bool | None = None
) -> dict[str, Any] | None:
    """Return class path and arguments of a checkpoint's model.

    Args:
        ckpt_path: The file, or the name of shipped weights.
        weights_only: False to read a checkpoint that holds more than plain values.

    Returns:
        None where there is no such file, or it is not a checkpoint of a module of ours.

    Raises:
        UserError: It cannot be read, or is of a later format.
    """
    path = found_checkpoint(ckpt_path or "")
    if not path.is_file() and not is_sharded(path):
        return None
    content = read_options(path, weights_only is not False)
    check_format(content)
    settings = content.get("hyper_parameters") or {}
    if KEY not in content or "_class_path" not in settings:
        return None
    arguments = {key: value for key, value in settings.items() if not key.startswith("_")}
    return {"class_path": settings["_class_path"], "init_args": arguments}


def with_model_of_checkpoint(arguments: Sequence[str]) -> list[str]:
    """Put the checkpoint's model into a command that names none.

    Args:
        arguments: What stands behind the command's name, the subcommand first.
    """
    given: dict[str, Any] = {}
    for _, config in written(arguments):
        given |= config
    ckpt_path = given.get("ckpt_path")
    if "model" in given or not isinstance(ckpt_path, str):
        return list(arguments)
    trusted = str(given.get("weights_only")).lower() == "false"  # a word, or a file's value
    model = described_model(ckpt_path, weights_only=not trusted)
    if model is None:
        return list(arguments)
    text = yaml.safe_dump({"model": model}, default_flow_style=True, width=float("inf"))
    return [*arguments[:1], "--config", text.strip(), *arguments[1:]]
