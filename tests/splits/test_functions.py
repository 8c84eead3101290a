"""What a function computes by beside its arguments."""

from lit_intriguing.splits.functions import hash_of, held, module_name, says_all

FACTOR = 3


def scaled(x: float, by: float = 2.0, *, plus: float = 0.5) -> float:
    return FACTOR * x * by + plus


def test_a_name_says_all_where_an_import_finds_the_function() -> None:
    def inner() -> None:
        """Lies in no module."""

    inner.__module__ = "__main__"
    assert says_all(scaled)
    assert not says_all(inner)
    inner.__module__ = "__mp_main__"
    assert module_name(inner) == "__main__"
    assert not says_all(lambda: 0)


def test_a_function_holds_globals_defaults_and_what_it_closes_over() -> None:
    own = 7
    assert held(scaled) == {"FACTOR": 3, "by": 2.0, "plus": 0.5}
    assert held(lambda x: x + own) == {"own": 7}
    assert held(lambda x: [FACTOR * y for y in map(lambda z: z + own, x)]) == {
        "FACTOR": 3,
        "own": 7,
    }


def test_names_of_attributes_are_no_globals() -> None:
    assert held(lambda x: x.FACTOR) == {}
    assert held(lambda x: [one.FACTOR for one in x]) == {}


def test_a_class_inside_a_function_reads_globals() -> None:
    def made() -> type:
        class Inner:
            factor = FACTOR

        return Inner

    assert held(made)["FACTOR"] == 3


def test_what_is_closed_over_may_be_missing_yet() -> None:
    def early() -> object:
        return late

    assert held(early) == {"late": None}
    late = 1
    assert held(early) == {"late": 1}


def test_code_is_told_apart_by_steps_constants_and_names() -> None:
    given = [
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: x - 1,
        lambda x: x.real,
        lambda x: x.imag,
        lambda x: (lambda y: y + 1)(x),
        lambda x: (lambda y: y + 2)(x),
    ]
    assert len({hash_of(one.__code__) for one in given}) == len(given)
    assert hash_of((lambda x: x + 1).__code__) == hash_of(given[0].__code__)
