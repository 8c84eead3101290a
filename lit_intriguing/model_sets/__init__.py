"""Studies of several models: where each comes from, its training or loading, one loop over all."""
