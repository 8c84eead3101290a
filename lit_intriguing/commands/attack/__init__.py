"""`lightning attack`: a whole split, in chunks of images; resumable, under any strategy."""

from lit_intriguing.attacks.attack_tensors import attack_tensors
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.commands.attack.job import AttackJob

__all__ = ["AttackJob", "Examples", "attack_tensors"]
