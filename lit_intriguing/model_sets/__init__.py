"""Several models by name: where each comes from, its training or loading, one loop over all."""
