"""What `--help` shows. Nothing here imports torch: it answers at once."""
