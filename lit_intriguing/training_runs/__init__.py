"""Many trainings, each once: measured in worker processes and saved, one file a run."""
