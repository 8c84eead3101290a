"""Many trainings, each once: measured in worker processes and kept, one file a run."""
