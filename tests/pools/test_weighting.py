"""The logits of a training step are found, and the gradients of examples weighted."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.errors import UserError
from lit_intriguing.pools.weighting import LogitsError, WeightedLogits
from lit_intriguing.splice import UnknownLayerError

N, FEATURES, CLASSES = 4, 3, 2
X = torch.linspace(-1, 1, N * FEATURES).view(N, FEATURES)
Y = torch.tensor([0, 1, 1, 0])
WEIGHTS = torch.tensor([2.0, 0.5, 0.0, 1.5])


class Host(nn.Module):
    """Nested modules of which several return (N, C): the last layer, its Sequential, the host."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(FEATURES, CLASSES), nn.Tanh(), nn.Linear(CLASSES, CLASSES)
        )
        self.softmax = nn.Softmax(1)
        self.other = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def expected(host: Host) -> list[Tensor]:
    losses = F.cross_entropy(host.net(X), Y, reduction="none")
    return list(torch.autograd.grad((losses * WEIGHTS).mean(), list(host.net.parameters())))


def gradients(host: Host, training_step: Callable[[Host], Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(training_step(host), list(host.net.parameters())))


def call(host: Host) -> Tensor:
    return F.cross_entropy(host(X), Y)


def call_forward_directly(host: Host) -> Tensor:
    return F.cross_entropy(host.forward(X), Y)


def call_the_network(host: Host) -> Tensor:
    return F.cross_entropy(host.net(X), Y)


def call_and_measure_softmax(host: Host) -> Tensor:
    logits = host(X)
    host.softmax(logits)
    return F.cross_entropy(logits, Y)


def softmax_in_the_loss(host: Host) -> Tensor:
    return F.nll_loss(host.softmax(host.net(X)).log(), Y)


def call_under_no_grad_last(host: Host) -> Tensor:
    loss = call_the_network(host)
    with torch.no_grad():
        host.other(X)
    return loss


def softmax_after_the_logits(host: Host) -> Tensor:
    logits = host.net(X)
    host.softmax(logits)
    return F.cross_entropy(logits, Y)


STEPS = {
    "call": (call, ""),
    "forward called directly": (call_forward_directly, "net"),
    "submodule": (call_the_network, "net"),
    "softmax beside the host's own call": (call_and_measure_softmax, ""),
    "softmax on the way to the loss": (softmax_in_the_loss, "softmax"),
    "another module without gradient": (call_under_no_grad_last, "net"),
}


@pytest.mark.parametrize(("training_step", "chosen"), STEPS.values(), ids=STEPS)
def test_each_examples_gradient_is_weighted_once_in_every_step(
    training_step: Callable[[Host], Tensor], chosen: str
) -> None:
    host = Host()
    wanted = expected(host)
    weighted = WeightedLogits(host)
    for _ in range(3):
        weighted.start(N, WEIGHTS)
        for found, right in zip(gradients(host, training_step), wanted, strict=True):
            torch.testing.assert_close(found, right)
        weighted.finish()
        assert weighted.name == chosen
    weighted.remove()


@pytest.mark.parametrize("training_step", [call, call_and_measure_softmax, call_the_network])
def test_logits_are_stored_until_the_step_ends(training_step: Callable[[Host], Tensor]) -> None:
    host = Host()
    weighted = WeightedLogits(host)
    weighted.start(N, None)
    training_step(host).backward()
    assert torch.equal(weighted.logits, host.net(X).detach())
    assert not weighted.logits.requires_grad
    weighted.finish()
    assert weighted.logits is None


def test_softmax_after_the_logits_that_the_loss_leaves_out_is_refused() -> None:
    host = Host()
    weighted = WeightedLogits(host)
    weighted.start(N, WEIGHTS)
    softmax_after_the_logits(host).backward()
    with pytest.raises(LogitsError, match=r"does not depend on the output of 'softmax'.*model="):
        weighted.finish()


def test_module_that_is_named_is_taken() -> None:
    host = Host()
    wanted = expected(host)
    weighted = WeightedLogits(host, "net")
    weighted.start(N, WEIGHTS)
    for found, right in zip(gradients(host, softmax_after_the_logits), wanted, strict=True):
        torch.testing.assert_close(found, right)
    weighted.finish()


def test_name_that_is_unknown_is_refused() -> None:
    with pytest.raises(UnknownLayerError, match="no layer 'nett'"):
        WeightedLogits(Host(), "nett")


def test_without_weights_the_gradient_stays() -> None:
    host = Host()
    plain = gradients(host, call)
    weighted = WeightedLogits(host)
    weighted.start(N, None)
    for found, right in zip(gradients(host, call), plain, strict=True):
        assert torch.equal(found, right)
    weighted.finish()


def test_module_called_twice_is_weighted_in_both_calls() -> None:
    host = Host()
    weighted = WeightedLogits(host)
    weighted.start(N, WEIGHTS)
    found = gradients(host, lambda host: (call(host) + call(host)) / 2)
    weighted.finish()
    for one, right in zip(found, expected(host), strict=True):
        torch.testing.assert_close(one, right)


def test_closure_that_runs_the_step_again_is_weighted_again() -> None:
    host = Host()
    wanted = expected(host)
    weighted = WeightedLogits(host)
    weighted.start(N, WEIGHTS)
    for _ in range(3):
        weighted.restart()
        for found, right in zip(gradients(host, call), wanted, strict=True):
            torch.testing.assert_close(found, right)
    weighted.finish()


def test_outside_a_step_nothing_is_weighted_or_seen() -> None:
    host = Host()
    plain = gradients(host, call)
    weighted = WeightedLogits(host)
    weighted.start(N, WEIGHTS)
    call(host).backward()
    weighted.finish()
    for found, right in zip(gradients(host, call), plain, strict=True):
        assert torch.equal(found, right)
    assert weighted.logits is None


def test_outputs_with_other_numbers_of_examples_are_passed_over() -> None:
    host = Host()
    weighted = WeightedLogits(host)
    weighted.start(N + 1, torch.ones(N + 1))
    call(host).backward()
    with pytest.raises(
        LogitsError, match=rf"shape \({N + 1}, C\), for the {N + 1} examples .*keep_out=True"
    ):
        weighted.finish()


def test_step_without_a_backward_pass_may_end_where_that_is_allowed() -> None:
    host = Host()
    weighted = WeightedLogits(host)
    weighted.start(N, WEIGHTS)
    call(host)
    weighted.finish(backward=False)
    weighted.start(N, WEIGHTS)
    weighted.finish(backward=False)
    weighted.start(N, WEIGHTS)
    call(host)
    with pytest.raises(UserError, match="does not depend on the output of ''"):
        weighted.finish()


def test_first_step_watches_all_modules_later_ones_the_chosen_one_and_none_after_removal() -> None:
    host = Host()

    def hooked() -> list[str]:
        return [name for name, module in host.named_modules() if module._forward_hooks]

    weighted = WeightedLogits(host)
    assert len(hooked()) == 7
    weighted.start(N, WEIGHTS)
    call_the_network(host).backward()
    weighted.finish()
    assert hooked() == ["net"]
    weighted.remove()
    assert hooked() == []
