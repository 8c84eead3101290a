"""Error under attack against the size of the perturbation: what is found, and what is certified.

An attack that searches for the nearest example answers all sizes at once: the error at size e is
the share of examples with one no farther than e. An attack in a ball runs once for each size.
Whatever is found counts at all sizes that it does not exceed, in each norm. The worst case is that
any attack succeeds; the true error lies between it and what Lipschitz bounds leave uncertified.
"""

from lit_intriguing.robustness.evaluate import evaluate_tensors
from lit_intriguing.robustness.evaluation import Evaluation, Trial
from lit_intriguing.robustness.plan import usual_attacks
from lit_intriguing.robustness.sizes import NORMS, SIZES

__all__ = ["NORMS", "SIZES", "Evaluation", "Trial", "evaluate_tensors", "usual_attacks"]
