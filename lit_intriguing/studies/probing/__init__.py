"""How answers change from an image through its adversarial example on, and in noise around both."""

from lit_intriguing.studies.probing.job import ProbeJob
from lit_intriguing.studies.probing.rows import probe_tensors
from lit_intriguing.studies.probing.study import Probing
from lit_intriguing.studies.probing.table import Probes

__all__ = ["ProbeJob", "Probes", "Probing", "probe_tensors"]
