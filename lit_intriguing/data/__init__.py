"""Data modules: whole data sets in memory, and images in folders."""

from lit_intriguing.data.digits import Digits
from lit_intriguing.data.image_folder import ImageFolder
from lit_intriguing.data.mnist import MNIST
from lit_intriguing.data.tensor_loader import TensorLoader

__all__ = ["MNIST", "Digits", "ImageFolder", "TensorLoader"]
