"""One way to merge configurations: jsonargparse's own, as for several `--config`.

See docs/configuration.md for its rules.
"""

from collections.abc import Sequence

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LRSchedulerTypeTuple
from torch.optim import Optimizer

from lit_intriguing.configuration import class_paths, misspelt, shipped
from lit_intriguing.configuration.arguments import file_name
from lit_intriguing.configuration.files import load_config
from lit_intriguing.configuration.options import OPTIONS
from lit_intriguing.configuration.parse_errors import in_words
from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import UsageError
from lit_intriguing.private import of_jsonargparse


def merged_files(names: Sequence[str]) -> Config:
    """Merge `fit` configurations as `lightning fit` does with several `--config`.

    Args:
        names: Files, or names of shipped ones; later ones win.

    Returns:
        The keys that they give, without any default.

    Raises:
        UsageError: A file is not there, or a class or value in it cannot be. Unknown keys are
            refused where the configuration is used.
    """
    contents = [load_config(name) for name in names]
    if len(contents) == 1 and not _appends(contents[0]):
        return contents[0]  # as it is written
    return _merged(names, contents)


def _appends(value: object) -> bool:
    """Say whether a key with a plus, which appends to a list, stands anywhere within."""
    if isinstance(value, list):
        return any(map(_appends, value))
    if not isinstance(value, dict):
        return False
    return any(str(key).endswith("+") or _appends(inner) for key, inner in value.items())


def _merged(names: Sequence[str], contents: Sequence[Config]) -> Config:
    class_paths.bring_in()
    parser = _fit_parser()
    try:
        merged = of_jsonargparse.merge_files(parser, names, shipped.find)
        text = parser.dump(merged, skip_validation=True, skip_unset=False)
    except (ArgumentError, TypeError, ValueError) as error:
        misspelt.check_all(list(zip(map(file_name, names), contents, strict=True)), parser)
        raise UsageError(in_words(error)) from error
    config: Config = yaml.safe_load(text)
    return config


def _fit_parser() -> ArgumentParser:
    """Make a parser of what a `fit` configuration may hold; nothing in it is required."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action=of_jsonargparse.config_file_action(shipped.find))
    parser.add_argument("--seed_everything", type=bool | int)
    parser.add_lightning_class_args(Trainer, "trainer")
    for base, key in ((LightningModule, "model"), (LightningDataModule, "data")):
        parser.add_lightning_class_args(base, key, subclass_mode=True, required=False)
    parser.add_optimizer_args((Optimizer,))
    parser.add_lr_scheduler_args(LRSchedulerTypeTuple)
    for option in OPTIONS:
        parser.add_argument(f"--{option.name}", type=option.type)
    parser.add_argument("--ckpt_path", type=str | None)
    parser.add_argument("--weights_only", type=bool | None)
    return parser
