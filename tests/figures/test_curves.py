import pytest
import torch

from lit_intriguing.figures import error_curves


def test_the_line_is_the_mean_over_the_seeds_that_ran():
    errors = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])
    axis = error_curves({"a": (torch.tensor([60, 100]), errors)}).axes[0]
    assert axis.lines[0].get_xdata().tolist() == [60, 100]
    assert axis.lines[0].get_ydata().tolist() == [2.0, 2.0]


def test_several_curves_have_a_legend_and_one_has_none():
    curve = (torch.tensor([1, 2]), torch.rand(3, 2))
    assert error_curves({"a": curve}).axes[0].get_legend() is None
    legend = error_curves({"a": curve, "b": curve}).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_the_reference_is_named():
    curve = (torch.tensor([1, 2]), torch.rand(3, 2))
    axis = error_curves({"a": curve}, reference=1.2, reference_label="paper").axes[0]
    assert [text.get_text() for text in axis.texts] == ["paper"]


def test_no_curve_is_refused():
    with pytest.raises(ValueError, match="no curve"):
        error_curves({})


def test_shapes_that_do_not_fit_are_refused_with_both():
    with pytest.raises(ValueError, match=r"curve 'a': lengths of shape \(2,\).* \(3, 1\)"):
        error_curves({"a": (torch.zeros(2), torch.zeros(3, 1))})
