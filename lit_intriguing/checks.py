"""Arguments as they are given: refused at once, by their names, or brought into one form."""

from collections.abc import Sequence
from numbers import Integral


def as_list(names: Sequence[str] | str | None) -> list[str]:
    """Return names as a list; one name is a list of one, and none an empty one.

    >>> as_list("fc"), as_list(("a", "b")), as_list(None)
    (['fc'], ['a', 'b'], [])
    """
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def check_whole(owner: str, least: int, **values: object) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        owner: Class or function whose arguments they are.
        least: The smallest allowed.
        values: By name; None passes.

    Raises:
        ValueError: With the argument's name.

    Examples:
        >>> check_whole("Attack", 1, steps=1.5)
        Traceback (most recent call last):
        ValueError: Attack: steps must be a whole number, not 1.5.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f"{owner}: {name} must be a whole number, not {value!r}.")
        if value < least:
            raise ValueError(f"{owner}: {name} must be at least {least}, not {value}.")


def check_flags(owner: str, **values: object) -> None:
    """Refuse what is neither true nor false: any text would count as true.

    Args:
        owner: Class or function whose arguments they are.
        values: By name.

    Raises:
        ValueError: With the argument's name.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{owner}: {name} must be true or false, not {value!r}.")
