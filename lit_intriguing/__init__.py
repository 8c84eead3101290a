"""Intriguing properties of neural networks, for Lightning.

Importing the package alone imports neither torch nor Lightning, so that the command line can
answer `--help` at once.
"""

from importlib.metadata import PackageNotFoundError, version

from lit_intriguing import moved

try:
    __version__ = version("lit-intriguing")
except PackageNotFoundError:  # a checkout on the path that nobody installed
    __version__ = "0+unknown"

__all__ = ["__version__"]

moved.install()
