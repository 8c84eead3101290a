import pytest

from lit_intriguing.configuration.patches import merged
from lit_intriguing.errors import UsageError

BASE = {"a": {"b": 1, "c": [1, 2]}, "callbacks": [{"class_path": "x.Timer"}, "y.Other"]}


def test_mappings_merge_key_by_key_and_the_rest_is_replaced():
    assert merged(BASE, {"a": {"c": [3]}})["a"] == {"b": 1, "c": [3]}


def test_null_deletes_a_key():
    assert merged(BASE, {"a": {"b": None}})["a"] == {"c": [1, 2]}


def test_null_for_a_key_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"null takes out 'hiden1', which is not.* 'hidden1'"):
        merged({"layers": {"hidden1": {}, "hidden2": {}}}, {"layers": {"hiden1": None}})


def test_later_patches_win():
    assert merged({}, {"a": 1, "b": 1}, {"a": 2}) == {"a": 2, "b": 1}


def test_entries_of_a_list_are_changed_by_class():
    patch = {"callbacks": {"Timer": {"init_args": {"n": 1}}, "Other": {"init_args": {"m": 2}}}}
    assert merged(BASE, patch)["callbacks"] == [
        {"class_path": "x.Timer", "init_args": {"n": 1}},
        {"class_path": "y.Other", "init_args": {"m": 2}},
    ]


def test_null_takes_an_entry_out_of_a_list():
    assert merged(BASE, {"callbacks": {"Timer": None}})["callbacks"] == ["y.Other"]


def test_another_class_does_not_inherit_arguments():
    base = {"opt": {"class_path": "torch.optim.Adam", "init_args": {"amsgrad": True}}}
    patch = {"opt": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}}
    assert merged(base, patch) == patch


def test_the_same_class_by_its_short_name_keeps_arguments():
    base = {"opt": {"class_path": "torch.optim.Adam", "init_args": {"amsgrad": True}}}
    patch = {"opt": {"class_path": "Adam", "init_args": {"lr": 1}}}
    assert merged(base, patch)["opt"]["init_args"] == {"amsgrad": True, "lr": 1}


def test_arguments_leave_as_they_came():
    base, patch = {"a": {"b": [1]}}, {"a": {"c": [2]}}
    result = merged(base, patch)
    result["a"]["b"].append(9)
    result["a"]["c"].append(9)
    assert (base, patch) == ({"a": {"b": [1]}}, {"a": {"c": [2]}})


def test_an_unknown_class_in_a_list_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"it is not there: \['Timer', 'Other'\]. Did you mean 'T"):
        merged(BASE, {"callbacks": {"Timr": None}})


def test_a_class_that_is_twice_in_a_list_is_refused():
    with pytest.raises(UsageError, match="it is in the list 2 times"):
        merged({"callbacks": ["a.T", "b.T"]}, {"callbacks": {"T": None}})
