import pytest
import torch

from lit_intriguing.figures import dot_plot


def test_every_value_is_a_dot_and_the_bar_is_one_sample_deviation():
    axis = dot_plot({"a": torch.tensor([1.0, 3.0])}, label="error, %").axes[0]
    assert sorted(axis.collections[0].get_offsets()[:, 0].tolist()) == [1.0, 3.0]
    bar, mean = axis.lines
    assert mean.get_xdata() == [2.0]
    assert bar.get_xdata() == pytest.approx([2 - 2**0.5, 2 + 2**0.5])


def test_one_value_has_no_bar():
    axis = dot_plot({"a": torch.tensor([1.0])}, label="error, %").axes[0]
    assert [line.get_xdata() for line in axis.lines] == [[1.0]]


def test_a_group_without_values_keeps_its_line_and_says_so():
    groups = {"failed": torch.zeros(0), "b": torch.tensor([1.0])}
    axis = dot_plot(groups, label="error, %").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["failed", "b"]
    assert [text.get_text() for text in axis.texts] == ["no run"]


def test_the_axis_names_its_unit_and_the_reference_its_source():
    axis = dot_plot(
        {"a": torch.tensor([1.0])}, label="error, %", reference=1.2, reference_label="paper"
    ).axes[0]
    assert axis.get_xlabel().startswith("error, %")
    assert "paper" in [text.get_text() for text in axis.texts]


def test_no_group_is_refused():
    with pytest.raises(ValueError, match="no group"):
        dot_plot({}, label="error, %")


def test_values_of_a_wrong_shape_are_refused_with_the_groups_name():
    with pytest.raises(ValueError, match=r"group 'a': values of shape \(2, 2\)"):
        dot_plot({"a": torch.zeros(2, 2)}, label="error, %")
