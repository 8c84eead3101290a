import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lit_intriguing.lipschitz import operator_norm, register_norm
from lit_intriguing.lipschitz.norm import (
    KINDS,
    ONE,
    Norm,
    greatest,
    product,
    root_of_squares,
    total,
    unknown,
)

values = st.lists(st.floats(1e-8, 1e8), min_size=2, max_size=5)


@given(values)
def test_a_product_is_never_rounded_downwards(factors: list[float]) -> None:
    true = math.prod(Fraction(value) for value in factors)
    assert true <= Fraction(product(map(Norm, factors)).value) <= true * Fraction(1 + 1e-14)


@given(values)
def test_a_sum_is_never_rounded_downwards(terms: list[float]) -> None:
    true = sum(Fraction(value) for value in terms)
    assert true <= Fraction(total(map(Norm, terms)).value) <= true * Fraction(1 + 1e-14)


@given(values)
def test_a_root_of_squares_is_never_rounded_downwards(parts: list[float]) -> None:
    true = sum(Fraction(value) ** 2 for value in parts)
    squared = Fraction(root_of_squares(map(Norm, parts)).value) ** 2
    assert true <= squared <= true * Fraction(1 + 1e-14)


@pytest.mark.parametrize("compose", [product, total, root_of_squares, greatest])
@pytest.mark.parametrize("kind", ["upper", "probable", "estimate"])
def test_a_composition_is_of_the_weakest_kind_in_it(compose, kind) -> None:  # type: ignore[no-untyped-def]
    weak = Norm(2.0, kind, risk=0.25 if kind == "probable" else 0.0)
    assert compose([Norm(3.0), weak, Norm(1.5, "upper")]).kind == kind


def test_several_exact_maps_in_a_row_give_an_upper_bound_and_one_an_exact_one() -> None:
    assert product([Norm(2.0), Norm(3.0)]).kind == "upper"
    assert product([ONE, Norm(3.0), ONE]) == Norm(3.0)
    assert product([]) == ONE


def test_risks_add_up_and_vanish_behind_an_estimate() -> None:
    twice = product([Norm(2.0, "probable", 0.25), Norm(2.0, "probable", 0.5)])
    assert twice.risk == 0.75
    assert product([Norm(2.0, "probable", 0.25), Norm(2.0, "estimate")]).risk == 0.0


@pytest.mark.parametrize("compose", [product, total, root_of_squares, greatest])
def test_the_unknown_stays_infinite_with_its_reason_also_beside_zero(compose) -> None:  # type: ignore[no-untyped-def]
    composed = compose([Norm(0.0), unknown("Odd: why"), unknown("Odd: why")])
    assert composed.value == math.inf
    assert composed.reason == "Odd: why"


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_a_value_that_is_no_norm_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        Norm(value)


def test_a_risk_goes_with_probable_values_alone() -> None:
    for kind in KINDS:
        with pytest.raises(ValueError, match="does not go with kind"):
            Norm(1.0, kind, risk=0.0 if kind == "probable" else 0.1)


def test_a_subclass_does_not_inherit_its_parents_rule() -> None:
    class Louder(nn.ReLU):
        pass

    assert operator_norm(nn.ReLU()) == ONE
    assert operator_norm(Louder()).reason == "Louder: no rule for this type of layer"


def test_a_forward_put_on_one_module_is_noticed() -> None:
    module = nn.ReLU()
    module.forward = lambda x: 3 * x  # type: ignore[method-assign]
    assert not operator_norm(module).finite


def test_a_type_can_be_registered_from_outside() -> None:
    class Doubled(nn.Module):
        pass

    @register_norm(Doubled)
    def rule(module: Doubled, shape: tuple[int, ...] | None) -> Norm:
        return Norm(2.0)

    assert operator_norm(Doubled()).value == 2.0


def test_a_rule_without_a_method_serves_both_and_a_probable_one_can_be_added() -> None:
    class Drawn(nn.Module):
        pass

    @register_norm(Drawn)
    def rule(module: Drawn, shape: tuple[int, ...] | None) -> Norm:
        return Norm(2.0)

    assert operator_norm(Drawn(), method="probable") == Norm(2.0)

    @register_norm(Drawn, method="probable")
    def tighter(module: Drawn, shape: tuple[int, ...] | None) -> Norm:
        return Norm(1.5, "probable", 1e-3)

    assert operator_norm(Drawn(), method="probable").value == 1.5
    assert operator_norm(Drawn()) == Norm(2.0)
    register_norm(Drawn)(rule)
    assert operator_norm(Drawn(), method="probable") == Norm(2.0)


def test_another_method_is_refused_with_those_that_there_are() -> None:
    message = "the method is certified or probable, not 'gram'."
    with pytest.raises(ValueError, match=message):
        operator_norm(nn.LSTM(3, 4), method="gram")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        register_norm(nn.ReLU, method="gram")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (Norm(2.0, "probable", 1e-9), "probable, 1 - 1e-9"),
        (Norm(2.0, "probable", 8 * 1e-9), "probable, 1 - 8e-9"),
        (Norm(2.0, "probable", 1e-12), "probable, 1 - 1e-12"),
        (Norm(2.0, "estimate"), "estimate"),
        (unknown("why"), "unknown"),
    ],
)
def test_the_kind_in_words_has_its_probability(norm: Norm, words: str) -> None:
    assert norm.certainty() == words


@given(st.floats(1e-300, 1e300), st.integers(1, 9))
def test_a_bound_in_few_digits_is_not_below_itself(value: float, digits: int) -> None:
    shown = float(Norm(value, "upper").text(digits))
    assert value <= shown <= value * (1 + 2 * 10.0 ** (1 - digits))
    assert unknown("why").text() == "inf"


@pytest.mark.parametrize("compose", [product, total, root_of_squares])
def test_bounds_too_large_for_float64_compose_to_infinity(compose) -> None:  # type: ignore[no-untyped-def]
    assert compose([Norm(1.5e308), Norm(1.5e308)]).value == math.inf


def test_the_root_of_large_squares_is_finite_where_it_can_be() -> None:
    found = root_of_squares([Norm(3e307), Norm(4e307)]).value
    assert found == pytest.approx(5e307, rel=1e-15)
    assert Fraction(found) ** 2 >= Fraction(3e307) ** 2 + Fraction(4e307) ** 2
