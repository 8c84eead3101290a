"""Gradients of clean examples, kept from a backward pass that somebody else makes."""

import torch
from torch import Tensor, nn

from lit_intriguing.pools.kept_gradients import KeptGradients
from lit_intriguing.splice import INPUT


def inputs() -> Tensor:
    return torch.rand(4, 3, generator=torch.Generator().manual_seed(0))


def test_gradient_of_the_first_rows_is_that_of_a_leaf() -> None:
    x, kept = inputs(), KeptGradients([INPUT], 2)
    torch.cat([kept.watched(x), x]).pow(3).sum().backward()
    torch.testing.assert_close(kept.gradients[INPUT], 3 * x[:2] ** 2)
    assert torch.equal(kept.clean[INPUT], x[:2])
    assert not x.requires_grad


def test_gradients_of_several_backward_passes_add_up_until_it_is_closed() -> None:
    x, kept = inputs(), KeptGradients([INPUT], 4)
    loss = kept.watched(x).square().sum()
    for _ in range(2):
        loss.backward(retain_graph=True)
    kept.close()
    loss.backward()
    torch.testing.assert_close(kept.gradients[INPUT], 4 * x)


def test_what_others_do_with_the_same_gradient_does_not_change_it() -> None:
    x, kept = inputs(), KeptGradients([INPUT], 4)
    beside = nn.Parameter(torch.zeros(4, 3))  # gets the very same gradient
    (kept.watched(x) + beside).square().sum().backward()
    assert beside.grad is not None
    beside.grad.zero_()
    torch.testing.assert_close(kept.gradients[INPUT], 2 * x)


def test_no_graph_is_lost_where_gradients_are_switched_off_around_it() -> None:
    x, kept = inputs(), KeptGradients([INPUT], 4)
    with torch.no_grad():
        watched = kept.watched(x)
    watched.sum().backward()
    assert torch.equal(kept.gradients[INPUT], torch.ones(4, 3))


def test_a_layers_inputs_stay_as_they_are_where_only_others_are_watched() -> None:
    x = inputs()
    assert KeptGradients(["net.0"], 4).watched(x) is x
