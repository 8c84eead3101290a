"""Units of a layer against random directions of its space, with a statistic.

Szegedy et al. 2013, section 3: the images that maximise a unit look no more alike than those that
maximise a random direction. `analyse_units` measures it for any network and layer.
"""

from lit_intriguing.units.analyse import UnitReport, analyse_units
from lit_intriguing.units.analysis import LayerAnalysis, analyse_layer
from lit_intriguing.units.batches import images_at
from lit_intriguing.units.coherence import feature_coherence, label_coherence
from lit_intriguing.units.control import untrained_copy
from lit_intriguing.units.directions import haar_rotations, principal_components
from lit_intriguing.units.layer_features import LayerFeatures
from lit_intriguing.units.readings import Centre, Maximum, Mean, Reading, Token
from lit_intriguing.units.running_top import RunningTopK
from lit_intriguing.units.statistics import effect, mean_test, top_tenth_test, verdict

__all__ = [
    "Centre",
    "LayerAnalysis",
    "LayerFeatures",
    "Maximum",
    "Mean",
    "Reading",
    "RunningTopK",
    "Token",
    "UnitReport",
    "analyse_layer",
    "analyse_units",
    "effect",
    "feature_coherence",
    "haar_rotations",
    "images_at",
    "label_coherence",
    "mean_test",
    "principal_components",
    "top_tenth_test",
    "untrained_copy",
    "verdict",
]
