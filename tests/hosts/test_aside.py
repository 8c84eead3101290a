from collections import deque

import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric

from lit_intriguing.hosts.aside import Aside


class Keeper(nn.Module):
    """Leaves a trace of each call wherever a module can."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.metric = nn.BatchNorm1d(3), MeanMetric()
        self.slow = nn.Parameter(torch.ones(3), requires_grad=False)
        self.count, self.seen, self.last = 0, [], deque(maxlen=2)
        self.by_name: dict[str, list[int]] = {"calls": []}
        self.bank = torch.zeros(3)

    def forward(self, x):
        self.count += 1
        self.seen.append(x)
        self.last.append(x)
        self.by_name["calls"].append(self.count)
        self.bank[0] += 1
        self.new = 1
        self.metric.update(x.mean())
        self.slow.data.mul_(0.9)
        return self.norm(x) * torch.rand(())


def everything(module):
    return (
        module.state_dict(),
        (module.count, list(module.seen), list(module.last), dict(module.by_name)),
        module.bank.clone(),
        module.metric.mean_value.clone(),
        torch.get_rng_state(),
    )


def test_a_call_aside_leaves_no_trace():
    module = Keeper()
    module(torch.randn(4, 3))
    before = everything(module)
    copied = {key: one.clone() for key, one in before[0].items()}
    calls = list(module.by_name["calls"])
    aside = Aside(module)
    for _ in range(2):  # the second copies only the weights that were written
        with aside.entered(seed=0):
            module(torch.randn(4, 3))
    after = everything(module)
    torch.testing.assert_close(after[0], copied, rtol=0, atol=0)
    assert after[1][0] == before[1][0]
    assert [len(one) for one in after[1][1:3]] == [1, 1]
    assert module.by_name["calls"] == calls
    assert all(torch.equal(a, b) for a, b in zip(after[2:], before[2:], strict=True))


def test_a_weight_that_a_call_replaces_comes_back():
    module = Keeper()
    weight, data = module.slow, module.slow.data
    with Aside(module).entered(seed=0):
        module.slow.data = torch.zeros(3)
    assert module.slow is weight
    assert module.slow.data_ptr() == data.data_ptr()


def test_the_same_seed_gives_the_same_call():
    module, x = Keeper(), torch.randn(4, 3)
    aside, found = Aside(module), []
    for seed in (1, 1, 2):
        with aside.entered(seed):
            found.append(module(x))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_backward_pass_that_is_to_come_finds_what_its_forward_left():
    module, x = Keeper(), torch.randn(4, 3)
    aside = Aside(module)
    with aside.entered(0):
        module(x)
    pending = module(x).sum()
    with aside.entered(0):
        module(x)
    pending.backward()  # in-place changes of buffers would make it raise
    assert module.norm.weight.grad is not None


def test_an_error_inside_leaves_no_trace():
    module = Keeper()
    before = module.count, set(vars(module))

    def fail():
        with Aside(module).entered(0):
            module(torch.randn(4, 3))
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert (module.count, set(vars(module))) == before
    assert not module.seen


def test_a_buffer_that_holds_a_graph_and_is_written_in_place_comes_back():
    """A running sum of activations that nobody detached."""

    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(3, 2)
            self.register_buffer("total", torch.zeros(2))

        def forward(self, x):
            found = self.net(x)
            self.total += found.sum(0)
            return found

    module, x = Sums(), torch.randn(4, 3)
    module(x)
    before, value = module.total, module.total.detach().clone()
    assert before.requires_grad
    with Aside(module).entered(0):
        module(x)
    assert module.total is before
    assert torch.equal(before, value)
