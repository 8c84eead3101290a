"""Data modules that hold the whole data set in memory."""

from lit_intriguing.data.digits import Digits
from lit_intriguing.data.mnist import MNIST
from lit_intriguing.data.tensor_loader import TensorLoader

__all__ = ["MNIST", "Digits", "TensorLoader"]
