"""Networks as Lightning modules; they know nothing of adversarial examples."""

from lit_intriguing.models.autoencoder import SparseAutoencoder
from lit_intriguing.models.classifier import Classifier
from lit_intriguing.models.schedules import CosineOverRun

__all__ = ["Classifier", "CosineOverRun", "SparseAutoencoder"]
