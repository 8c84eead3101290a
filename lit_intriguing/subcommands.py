"""The subcommands, each a method of `lit_intriguing.trainer.Trainer`, and what they do."""

SUBCOMMANDS = {
    "fit": "train a model, then measure it once on the test set",
    "validate": "evaluate on the validation set",
    "test": "evaluate on the test set",
    "predict": "run a model over data and hand back its outputs",
}
"""A new subcommand needs a line here and a method of that name on the Trainer."""

NOT_OPTIONS = {
    "model",
    "datamodule",
    "dataloaders",
    "train_dataloaders",
    "val_dataloaders",
}
"""Parameters of these methods that the program fills in itself."""
