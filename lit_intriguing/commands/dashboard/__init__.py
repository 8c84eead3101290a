"""`lightning dashboard`: a W&B workspace and a report for what the callbacks log."""
