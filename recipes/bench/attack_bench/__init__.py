"""Parts of the benchmark of attacks, `recipes/bench/attacks.py`."""
