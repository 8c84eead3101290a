"""One room for each command that needs more than Lightning's loops.

Each has `command.py` (from options to what is asked for), `job.py` (what is asked for), `run.py`
(how it runs) and `output.py` (what comes out). The options with their defaults are in `job.py`;
those of `attack` and `lipschitz`, methods of the Trainer, in `options.py`.
"""
