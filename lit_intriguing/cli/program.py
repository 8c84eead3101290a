"""The command line proper: LightningCLI with our Trainer, recipes and closing test."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger
from typing_extensions import override

from lit_intriguing.callbacks.logger_guard import LoggerGuard
from lit_intriguing.callbacks.run_progress import RunProgress
from lit_intriguing.cli import closing_test, messages
from lit_intriguing.cli.checkpoint_model import described_model, with_model_of_checkpoint
from lit_intriguing.cli.closing_words import closing_words
from lit_intriguing.cli.newest_checkpoint import newest_checkpoint
from lit_intriguing.cli.parser import Parser, parsed
from lit_intriguing.cli.saved_config import SavedConfig
from lit_intriguing.cli.subcommands import (
    NEWEST,
    NOT_OFFERED,
    TRAINER_ARGUMENTS,
    TRAINER_SUBCOMMANDS,
)
from lit_intriguing.configuration import class_paths, settings, shipped
from lit_intriguing.configuration.options import OPTIONS
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.errors import InterruptedRunError, UserError
from lit_intriguing.hosts.checkpoint_file import CheckpointCheck
from lit_intriguing.models import Network
from lit_intriguing.models.weights import read_checkpoint, read_options
from lit_intriguing.private import of_jsonargparse
from lit_intriguing.sharded_folder import is_sharded
from lit_intriguing.shipped_weights import found_checkpoint
from lit_intriguing.trainer import Trainer

SEED = 0
ONE_PROCESS = {
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": None,
    "plugins": None,
    "sync_batchnorm": False,
    "logger": False,
}
"""What a subcommand that only reads weights sets in a configuration that was trained with."""


def run(arguments: Sequence[str]) -> None:
    """Parse the arguments and run the subcommand.

    Args:
        arguments: What stands after the name of the command.

    Raises:
        UserError: Something is wrong that the user can put right; `UsageError` where it is the
            arguments or a configuration file.
    """
    class_paths.bring_in()
    try:
        Program(arguments)
    except MisconfigurationException as error:  # Lightning's: no validation step, say
        raise UserError(one_line(str(error))) from error
    except Exception as error:
        message = messages.failed_logger(error)
        if message is None:
            raise
        raise UserError(message) from error


class Program(LightningCLI):
    """LightningCLI, with `paper`, `test_after_fit` and `threads` as further keys.

    Args:
        arguments: What stands after the name of the command.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = list(arguments)
        self._arguments = with_model_of_checkpoint(arguments)
        super().__init__(
            trainer_class=Trainer,
            save_config_callback=SavedConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=SEED,
            parser_class=Parser,
            parser_kwargs={"prog": "lightning", "allow_abbrev": False},
        )

    @override
    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # called on the object
        """Return the one that stands first, or else all: each takes time to prepare."""
        named = TRAINER_SUBCOMMANDS.keys() & set(self._arguments[:1])
        return {name: set(TRAINER_ARGUMENTS) for name in named or TRAINER_SUBCOMMANDS}

    @override
    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = Parser(**kwargs)
        config = of_jsonargparse.config_file_action(shipped.find)
        parser.add_argument(
            "-c",
            "--config",
            action=config,
            help=f"YAML file, on disk or shipped; repeatable. {settings.OPTION} {settings.HELP}",
        )
        return parser

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for option in OPTIONS:
            parser.add_argument(
                f"--{option.name}", type=option.type, default=option.default, help=option.help
            )

    @override
    def before_instantiate_classes(self) -> None:
        """Set the number of threads, before anything computes."""
        threads = self._option("threads")
        if threads is not None:
            torch.set_num_threads(threads)

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        assert isinstance(parser, Parser)
        for name in self.subcommands():
            subparser = of_jsonargparse.parser_of_subcommand(parser, [name])
            if subparser is not None and name in NOT_OFFERED:
                of_jsonargparse.leave_out_of_help(subparser, NOT_OFFERED[name])
        self.config = parsed(parser, self._arguments)

    @override
    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint, and read a foreign model's options out of it, if it has some.

        A model of ours is as the configuration has it: its checkpoint must fit.
        """
        options = self.config[self.config.subcommand]
        if options.get("ckpt_path"):
            options.ckpt_path = str(found_checkpoint(options.ckpt_path))
        if not described_model(options.get("ckpt_path"), options.get("weights_only")):
            self._parse_foreign_ckpt_path()
        self._refuse_weights_alone()

    def _parse_foreign_ckpt_path(self) -> None:
        try:
            super()._parse_ckpt_path()
        except UserError:
            raise
        except Exception as error:  # torch.load's are of many kinds
            options = self.config[self.config.subcommand]
            safe = options.get("weights_only") is not False  # Lightning does not ask here
            read_checkpoint(Path(options.ckpt_path), safe)  # says which file it is
            if safe:
                raise UserError(one_line(str(error))) from error

    def _refuse_weights_alone(self) -> None:
        """Raise for a file of weights alone, of which Lightning would only name a missing key."""
        options = self.config[self.config.subcommand]
        path = Path(options.get("ckpt_path") or "")
        if self.config.subcommand == "lipschitz" or not (path.is_file() or is_sharded(path)):
            return
        content = read_options(path, options.get("weights_only") is not False)
        complete = "pytorch-lightning_version" in content
        if self.config.subcommand == "fit" and not (complete and "optimizer_states" in content):
            raise UserError(
                f"{path} holds weights alone, without the state of the optimizer: `fit` cannot go "
                "on from it. Give a checkpoint that `lightning fit` wrote (of a ModelCheckpoint "
                "without save_weights_only)."
            )
        if not complete:
            raise UserError(
                f"{path} holds weights alone, no checkpoint of `lightning fit`. To make one of "
                'weights that the model can load: torch.save({"state_dict": weights, '
                '"pytorch-lightning_version": lightning.__version__}, "<file>.ckpt").'
            )

    @override
    def instantiate_classes(self) -> None:
        """Build what the configuration names; a refused value is the user's to put right."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            message = messages.failed_download(str(error)) or one_line(str(error))
            raise UserError(message) from error

    @override
    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if self.subcommand == "lipschitz":
            config |= ONE_PROCESS
        if config.get("logger") is None:
            config["logger"] = CSVLogger(config.get("default_root_dir") or ".", "lightning_logs")
        callbacks = [LoggerGuard(), CheckpointCheck(), *callbacks]
        if self._wants_progress(config):
            callbacks = [*callbacks, RunProgress()]
        try:
            trainer = super()._instantiate_trainer(config, callbacks)
        except RuntimeError as error:
            message = messages.repeated_callback(str(error))
            if message is None:
                raise
            raise UserError(message) from error
        assert isinstance(trainer, Trainer)
        return trainer

    def _wants_progress(self, config: dict[str, Any]) -> bool:
        """Say whether nobody chose a progress bar, or none, for this fit."""
        given = config.get("callbacks") or []
        chosen = any(
            isinstance(c, ProgressBar) for c in (given if isinstance(given, list) else [given])
        )
        return (
            self.subcommand == "fit"
            and config.get("enable_progress_bar") is not False
            and not chosen
        )

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        """Run the subcommand; Lightning stops gracefully on Ctrl-C, then exits."""
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as error:
            if not self.trainer.interrupted:
                raise
            if not self.trainer.is_global_zero:
                sys.exit(InterruptedRunError.status)
            raise InterruptedRunError(messages.interruption(self.trainer)) from error
        except (KeyError, ValueError) as error:
            message = messages.other_optimizer(self.trainer, error)
            if message is None:
                raise
            raise UserError(message) from error

    def before_fit(self) -> None:
        """Find the newest checkpoint, where it is asked for."""
        options = self.config_init[str(self.subcommand)]
        if options.get("ckpt_path") == NEWEST:
            path = newest_checkpoint(self.trainer, options.get("weights_only") is not False)
            options.ckpt_path = path and str(path)

    def before_validate(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_test(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_predict(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_lipschitz(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_attack(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_evaluate(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def before_units(self) -> None:
        """Warn where nothing has been trained."""
        self._warn_of_initial_weights()

    def _warn_of_initial_weights(self) -> None:
        if self._option("ckpt_path") is not None or not self.trainer.is_global_zero:
            return
        text = "no --ckpt_path: these are the initial weights"
        if isinstance(self.model, Network):
            if _names_weights(self._option("model")) or not list(self.model.parameters()):
                return
            text = (
                "neither --model.weights nor --ckpt_path: these are the weights that the network "
                "is made with, random ones unless it loads its own"
            )
        print(f"lightning: {text}", file=sys.stderr, flush=True)

    def after_fit(self) -> None:
        """Measure the weights in memory once on the test set and say the result."""
        if self._option("test_after_fit") and closing_test.has_test(self.model, self.datamodule):
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
            self.after_test()
        if self.trainer.is_global_zero:
            words = closing_words(self.trainer, self.model, self.datamodule, self._command)
            print(words, flush=True)

    def after_test(self) -> None:
        """Print the test error beside the paper's."""
        closing_test.report(self.trainer, self._option("paper"))

    def _option(self, name: str) -> Any:
        config: Namespace = self.config[str(self.subcommand)]
        return config.get(name)


def _names_weights(options: Any) -> bool:
    """Say whether a class's options, or those within, name weights, as torchvision's can."""
    if not isinstance(options, Namespace):
        return False
    return any(
        _names_weights(value) or (("weights" in name or name == "pretrained") and bool(value))
        for name, value in vars(options).items()
    )
