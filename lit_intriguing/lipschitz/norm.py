"""What is known of a Lipschitz constant: a number, and how far it can be trusted."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from fractions import Fraction
from typing import Literal

Kind = Literal["exact", "upper", "probable", "estimate"]
"""How far a number can be trusted: see `Norm`."""
KINDS: tuple[Kind, ...] = ("exact", "upper", "probable", "estimate")
"""From the strongest to the weakest."""


@dataclass(frozen=True)
class Norm:
    """The Lipschitz constant of a map with respect to L2 norms, or what is known of it.

    Attributes:
        value: Zero or more, perhaps infinite; never NaN.
        kind: `exact`: the least constant, to the rounding of float64. `upper`: certified not to
            lie below it, rounding included. `probable`: not below it but with probability
            `risk`. `estimate`: usually close, on either side.
        risk: Probability that a `probable` value lies below the least constant.
        reason: Why nothing better than infinity is known, or than a bound coarser than usual; the
            layer's name goes with it.

    Raises:
        ValueError: For a value that is no norm, or a risk that does not fit the kind.

    Examples:
        >>> product([Norm(2.0), Norm(3.0)])
        Norm(value=6.0, kind='upper', risk=0.0, reason='')
        >>> Norm(2.0, "estimate").times(-3.0)
        Norm(value=6.0, kind='estimate', risk=0.0, reason='')
    """

    value: float
    kind: Kind = "exact"
    risk: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.value >= 0:
            raise ValueError(f"Norm: a Lipschitz constant is zero or more, not {self.value}.")
        if (self.risk > 0) != (self.kind == "probable"):
            raise ValueError(f"Norm: a risk of {self.risk} does not go with kind {self.kind!r}.")

    @property
    def finite(self) -> bool:
        """Whether anything is known."""
        return math.isfinite(self.value)

    def text(self, digits: int = 4) -> str:
        """Return the value in so many significant digits; a bound from above is rounded upwards.

        >>> Norm(1.23401, "upper").text(), Norm(1.23401).text()
        ('1.235', '1.234')
        """
        if not self.finite or self.kind in ("exact", "estimate"):
            return f"{self.value:.{digits}g}"
        up = Context(prec=digits, rounding=ROUND_CEILING).create_decimal_from_float(self.value)
        return f"{float(up):.{digits}g}"

    def certainty(self) -> str:
        """Return the kind in words, with its probability; `unknown` where nothing is known.

        >>> Norm(2.0, "probable", 1e-9).certainty(), Norm(2.0).certainty()
        ('probable, 1 - 1e-9', 'exact')
        """
        if not self.finite:
            return "unknown"
        return probability(self.risk) if self.kind == "probable" else self.kind

    def times(self, factor: float) -> "Norm":
        """Return the constant of the map multiplied by a number, which may be negative."""
        value = _product(self.value, abs(factor))
        return Norm(value, self.kind, self.risk, self.reason)


def probability(risk: float) -> str:
    """Return how sure a probable value is, in words.

    >>> probability(5e-9), probability(0.25)
    ('probable, 1 - 5e-9', 'probable, 1 - 0.25')
    """
    return f"probable, 1 - {risk:.3g}".replace("e-0", "e-")


ONE = Norm(1.0)
"""The identity's constant."""


def unknown(reason: str) -> Norm:
    """Return infinity, with its reason."""
    return Norm(math.inf, "upper", reason=reason)


def product(norms: Iterable[Norm]) -> Norm:
    """Return the constant of maps applied one after another.

    Args:
        norms: Of the maps, in any order.

    Returns:
        The product, of the weakest kind among them. Of several maps it is at best `upper`: the
        directions in which they stretch most need not meet. Identities do not count.
    """
    found = [norm for norm in norms if norm != ONE]
    return found[0] if len(found) == 1 else _composed(found, 1.0, _product)


def total(norms: Iterable[Norm]) -> Norm:
    """Return the constant of a sum of maps of the same input: the sum of theirs; see `product`."""
    found = list(norms)
    return found[0] if len(found) == 1 else _composed(found, 0.0, _sum)


def root_of_squares(norms: Iterable[Norm]) -> Norm:
    """Return the constant of a concatenation of maps of the same input; see `product`."""
    found = list(norms)
    return found[0] if len(found) == 1 else _composed(found, 0.0, _hypotenuse)


def greatest(norms: Iterable[Norm]) -> Norm:
    """Return the constant of maps of separate parts of the input: the greatest, weakest kind."""
    found = list(norms)
    value = max((norm.value for norm in found), default=0.0)
    return Norm(value, _weakest(found, "exact"), _risk(found), _reason(found))


def _composed(norms: Sequence[Norm], start: float, step: Callable[[float, float], float]) -> Norm:
    value = start
    for norm in norms:
        value = step(value, norm.value)
    best: Kind = "upper" if norms else "exact"
    return Norm(value, _weakest(norms, best), _risk(norms), _reason(norms))


def _weakest(norms: Iterable[Norm], best: Kind) -> Kind:
    return max([best, *(norm.kind for norm in norms)], key=KINDS.index)


def _risk(norms: Iterable[Norm]) -> float:
    """Return at most the sum of the risks, dependent or not; none of an estimate."""
    found = list(norms)
    probable = _weakest(found, "exact") == "probable"
    return min(1.0, math.fsum(norm.risk for norm in found)) if probable else 0.0


def _reason(norms: Iterable[Norm]) -> str:
    """Return the reasons; of an infinite constant those why it is infinite."""
    found = list(norms)
    told = [norm for norm in found if not norm.finite] or found
    return "; ".join(dict.fromkeys(norm.reason for norm in told if norm.reason))


def _product(a: float, b: float) -> float:
    if math.inf in (a, b):  # also with zero: a layer about which nothing is known is to be seen
        return math.inf
    return _at_least(a * b, Fraction(a) * Fraction(b))


def _sum(a: float, b: float) -> float:
    return math.inf if math.inf in (a, b) else _at_least(a + b, Fraction(a) + Fraction(b))


def _hypotenuse(a: float, b: float) -> float:
    if math.inf in (a, b):
        return math.inf
    scale = 2.0**-64 if max(a, b) > 1e300 else 1.0  # hypot is NaN there without subnormals
    value = math.hypot(a * scale, b * scale) / scale
    squares = Fraction(a) ** 2 + Fraction(b) ** 2
    while math.isfinite(value) and Fraction(value) ** 2 < squares:
        value = math.nextafter(value, math.inf)
    return value


def _at_least(rounded: float, true: Fraction) -> float:
    if math.isinf(rounded) or Fraction(rounded) >= true:
        return rounded
    return math.nextafter(rounded, math.inf)
