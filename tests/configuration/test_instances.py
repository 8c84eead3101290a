import pytest

from lit_intriguing.configuration.instances import instance
from lit_intriguing.errors import UsageError
from tests.configuration.choices import Circle, Entry, Shape, Square

CHOICES = "tests.configuration.choices"


def test_an_object_is_made_with_all_that_is_within():
    inner = {"class_path": f"{CHOICES}.Square", "init_args": {"angle": 2}}
    made = instance({"class_path": f"{CHOICES}.Circle", "init_args": {"inner": inner}}, Shape, "it")
    assert isinstance(made, Circle)
    assert isinstance(made.inner, Square)
    assert made.inner.angle == 2


def test_a_dataclass_needs_no_class_path_and_null_stays_null():
    assert instance({"weight": 3}, Entry, "entry") == Entry(weight=3)
    assert instance(None, Shape | None, "shape") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"{CHOICES}.Cirle", r"shape: no class or function .* Did you mean '.*\.Circle'\?"),
        ({"class_path": f"{CHOICES}.Circle", "init_args": {"siez": 1}}, "Did you mean 'size'?"),
        ({"class_path": f"{CHOICES}.Circle", "init_args": {"size": "x"}}, "expected int, got 'x'"),
        (f"{CHOICES}.Entry", "Entry is no Shape: give a class of that kind"),
    ],
)
def test_a_mistake_is_named(value, message):
    with pytest.raises(UsageError, match=message):
        instance(value, Shape, "shape")


def test_a_missing_class_path_is_said():
    with pytest.raises(UsageError, match="shape: a class_path is missing in"):
        instance({"init_args": {}}, Shape, "shape")
