"""What talks to somebody else's LightningModule, Trainer, strategy or data loader."""
