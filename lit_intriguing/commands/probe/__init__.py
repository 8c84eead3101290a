"""How predictions change from an image through its adversarial example on, and in noise."""

from lit_intriguing.commands.probe.job import ProbeJob
from lit_intriguing.commands.probe.options import Probing
from lit_intriguing.commands.probe.probe_tensors import probe_tensors
from lit_intriguing.commands.probe.table import Probes

__all__ = ["ProbeJob", "Probes", "Probing", "probe_tensors"]
