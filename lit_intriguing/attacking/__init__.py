"""Attacks a whole split, in chunks of rows: resumable, under any strategy."""

from lit_intriguing.attacking.attack_rows import attack_tensors
from lit_intriguing.attacking.examples import Examples
from lit_intriguing.attacking.job import AttackJob

__all__ = ["AttackJob", "Examples", "attack_tensors"]
