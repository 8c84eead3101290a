"""The parts of `recipes/bench/lipschitz.py`."""
