"""Data modules: whole data sets in memory, images in folders, and frames of videos."""

from lit_intriguing.data.diabetes import Diabetes
from lit_intriguing.data.digits import Digits
from lit_intriguing.data.digits_on_photographs import DigitsOnPhotographs
from lit_intriguing.data.frames import Frames
from lit_intriguing.data.image_folder import ImageFolder
from lit_intriguing.data.mnist import MNIST
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.data.translated_messages import TranslatedMessages

__all__ = [
    "MNIST",
    "Diabetes",
    "Digits",
    "DigitsOnPhotographs",
    "Frames",
    "ImageFolder",
    "TensorLoader",
    "TranslatedMessages",
]
