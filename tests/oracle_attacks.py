"""The slow reference methods of the benchmark `recipes/bench/attacks.py`, for tests.

`scipy_loop.minimise` solves the paper's problem at a fixed c, `scipy_loop.attack` searches for c,
`convex.nearest` gives the exact optimum for softmax regression with its proof.
"""

import importlib
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "recipes" / "bench"
if str(BENCH) not in sys.path:
    sys.path.append(str(BENCH))

convex = importlib.import_module("attack_bench.convex")
scipy_loop = importlib.import_module("attack_bench.scipy_loop")
