"""What needs several runs: ablations. Resumable, one file a run."""
