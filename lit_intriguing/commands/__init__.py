"""One room for each command that needs more than Lightning's loops.

Each has `options.py` (the options with their defaults), `command.py` (from options to work),
`run.py` (how it runs) and `output.py` (what comes out). `job.py` holds what a run over the data
is asked for.
"""
