"""The subcommands and what they do, in words that need no import of torch."""

TRAINER_SUBCOMMANDS = {
    "fit": "train a model, then measure it once on the test set",
    "validate": "evaluate on the validation set",
    "test": "evaluate on the test set",
    "predict": "run a model over data; only a callback (BasePredictionWriter) saves the outputs",
    "attack": "make adversarial examples of a split, resumably, and save them",
    "evaluate": "measure errors under attacks at a list of sizes, resumably, beside certified ones",
    "lipschitz": "bound the Lipschitz constants of a network's layers and of the whole, certified",
    "units": "compare the top images of a network's units with those of random directions",
}
"""Each is a method of `lit_intriguing.trainer.Trainer`; a new one needs a line here as well."""

TRAINER_ARGUMENTS = {
    "model",
    "datamodule",
    "dataloaders",
    "train_dataloaders",
    "val_dataloaders",
}
"""Parameters of these methods that are no options, since the program fills them in."""

STUDIES = {
    "ablate": ("lit_intriguing.commands.ablate.command", "compare recipes row by row, resumably"),
    "transfer": (
        "lit_intriguing.commands.transfer.command",
        "evaluate several models on the adversarial examples made for each of them",
    ),
    "probe": (
        "lit_intriguing.commands.probe.command",
        "measure predictions along growing perturbations, and in noise around examples",
    ),
    "dashboard": (
        "lit_intriguing.commands.dashboard.command",
        "lay out a W&B workspace and a report for what the callbacks log",
    ),
    "report": (
        "lit_intriguing.commands.report.command",
        "write what a folder holds onto one page, beside the paper's numbers",
    ),
    "reproduce": (
        "lit_intriguing.commands.reproduce.command",
        "run the whole paper in order, resumably, or a quick version on small digits",
    ),
}
"""Subcommands without a run of their own: a module whose `parse` makes a study, and help."""

SUBCOMMANDS = TRAINER_SUBCOMMANDS | {name: text for name, (_, text) in STUDIES.items()}

NEEDS = {"ablate": "base", "transfer": "models", "probe": "models"}
"""The option without which a study is none; all others need a model."""

_OF_FIT = ("test_after_fit", "optimizer", "lr_scheduler")
NOT_OFFERED = {
    name: _OF_FIT if name == "test" else (*_OF_FIT, "paper")
    for name in TRAINER_SUBCOMMANDS
    if name != "fit"
}
"""Options that a configuration of `fit` may hold, and that mean nothing to another subcommand."""

NEWEST = "newest"
"""A `--ckpt_path` of `fit`: the run's newest checkpoint; where there is none, the run begins."""
