"""One room for each command that needs more than Lightning's loops.

Each has `command.py` (from options to what is asked for), `job.py` (what is asked for, the options
with their defaults), `run.py` (how it runs) and `output.py` (what comes out).
"""
