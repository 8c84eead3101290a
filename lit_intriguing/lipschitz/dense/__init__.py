"""Stacks of dense layers: a bound of all layers together, tighter than their product."""
