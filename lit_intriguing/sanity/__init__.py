"""Whether a measured robustness can be trusted: signs that an attack failed, or cannot work.

That an attack finds nothing may mean that there is nothing to find, or that the attack is blind.
Athalye et al. 2018 (*Obfuscated gradients give a false sense of security*) and Pintor et al. 2022
(*Indicators of attack failure*) say how to tell them apart. Each sign is a function of its own;
`sanity_checks` looks for all of them.
"""

from lit_intriguing.sanity.checks import sanity_checks
from lit_intriguing.sanity.finding import Finding
from lit_intriguing.sanity.gradients import wrong_gradients, zero_gradients
from lit_intriguing.sanity.other_attacks import transfer_beats, unconstrained_failure
from lit_intriguing.sanity.outputs import batch_dependence, gives_probabilities, randomness
from lit_intriguing.sanity.paths import break_point_angle, increasing_loss, silent_success
from lit_intriguing.sanity.training import catastrophic_overfitting, label_leaking

__all__ = [
    "Finding",
    "batch_dependence",
    "break_point_angle",
    "catastrophic_overfitting",
    "gives_probabilities",
    "increasing_loss",
    "label_leaking",
    "randomness",
    "sanity_checks",
    "silent_success",
    "transfer_beats",
    "unconstrained_failure",
    "wrong_gradients",
    "zero_gradients",
]
