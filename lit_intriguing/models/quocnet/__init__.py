"""Layers and network of Le et al. 2012: local filters without weight sharing, stage by stage."""

from lit_intriguing.models.quocnet import bounds  # registers the norms of the layers
from lit_intriguing.models.quocnet.l2_pool import L2Pool
from lit_intriguing.models.quocnet.local_contrast import LocalContrastNormalisation
from lit_intriguing.models.quocnet.local_filters import LocalFilters
from lit_intriguing.models.quocnet.network import QuocNet
from lit_intriguing.models.quocnet.reconstruction_tica import ReconstructionTICA

__all__ = [
    "L2Pool",
    "LocalContrastNormalisation",
    "LocalFilters",
    "QuocNet",
    "ReconstructionTICA",
    "bounds",
]
