"""What has to hold on a GPU: `python -m pytest -m gpu tests`.

Each check runs on the CPU as well, with the other tests, so that the check itself is known to work.
"""
