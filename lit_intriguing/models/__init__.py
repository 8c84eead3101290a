"""Networks as Lightning modules; they know nothing of adversarial examples."""

from lit_intriguing.models.alexnet import AlexNet
from lit_intriguing.models.autoencoder import SparseAutoencoder
from lit_intriguing.models.classifier import Classifier
from lit_intriguing.models.contrast_normalisation import ContrastNormalisation
from lit_intriguing.models.convolutional import ConvolutionalNetwork
from lit_intriguing.models.efficientnet_lite0 import efficientnet_lite0
from lit_intriguing.models.feature_classifier import FeatureClassifier
from lit_intriguing.models.image_classifier import ImageClassifier
from lit_intriguing.models.logistic import logistic_from_tanh
from lit_intriguing.models.network import Network
from lit_intriguing.models.quocnet import (
    L2Pool,
    LocalContrastNormalisation,
    LocalFilters,
    QuocNet,
    ReconstructionTICA,
)
from lit_intriguing.models.regressor import Regressor
from lit_intriguing.models.schedules import CosineOverRun
from lit_intriguing.models.segmenter import Segmenter
from lit_intriguing.models.shipped import pretrained
from lit_intriguing.models.small_unet import SmallUNet
from lit_intriguing.models.text_classifier import TextClassifier

__all__ = [
    "AlexNet",
    "Classifier",
    "ContrastNormalisation",
    "ConvolutionalNetwork",
    "CosineOverRun",
    "FeatureClassifier",
    "ImageClassifier",
    "L2Pool",
    "LocalContrastNormalisation",
    "LocalFilters",
    "Network",
    "QuocNet",
    "ReconstructionTICA",
    "Regressor",
    "Segmenter",
    "SmallUNet",
    "SparseAutoencoder",
    "TextClassifier",
    "efficientnet_lite0",
    "logistic_from_tanh",
    "pretrained",
]
