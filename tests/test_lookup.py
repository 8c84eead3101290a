import collections.abc

import pytest

from lit_intriguing.lookup import NotThereError, look_up


def test_classes_functions_modules_and_attributes_are_found():
    assert look_up("collections.abc.Mapping") is collections.abc.Mapping
    assert look_up("collections.abc") is collections.abc
    assert look_up("collections.OrderedDict.fromkeys") == collections.OrderedDict.fromkeys


@pytest.mark.parametrize(
    ("path", "inside", "name", "after"),
    [
        ("colections.abc.Mapping", "", "colections", "abc.Mapping"),
        ("collections.abd.Mapping", "collections", "abd", "Mapping"),
        ("collections.abc.Maping", "collections.abc", "Maping", ""),
        ("collections.OrderedDict.nothing.more", "collections.OrderedDict", "nothing", "more"),
    ],
)
def test_the_first_name_that_is_not_there_is_told_apart(path, inside, name, after):
    with pytest.raises(NotThereError) as refused:
        look_up(path)
    error = refused.value
    assert (error.inside, error.name, error.after) == (inside, name, after)
    assert error.known


def test_a_module_that_cannot_be_imported_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "one_that_fails.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="cannot import 'one_that_fails': No module named 'no_s"):
        look_up("one_that_fails.Net")
