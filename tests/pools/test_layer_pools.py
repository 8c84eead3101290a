"""When layers generate and join, step by step, and how they go on from a saved state."""

import copy
import pickle

import pytest
import torch
from torch import nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.generation import Batch, Spliced
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.pool import PoolError
from lit_intriguing.splice import Splice

N, FEATURES, CLASSES = 6, 4, 3
CPU = torch.device("cpu")


@pytest.fixture
def spliced() -> Spliced:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    return Spliced(net, Splice(net, ["1"]))


def plan(**options: object) -> PerturbedLayer:
    sizes = {"pool": 10, "mix": 4, "refresh": 3}
    return PerturbedLayer(GradientAttack(0.3), **{**sizes, **options})


def batch(step: int, rows: int = N) -> Batch:
    source = torch.Generator().manual_seed(step)
    x = torch.rand(rows, FEATURES, generator=source)
    return Batch(x, torch.randint(CLASSES, (rows,), generator=source))


def run(pools: LayerPools, spliced: Spliced, steps: int) -> list[torch.Tensor]:
    rows = []
    for _ in range(steps):
        pools.refresh(spliced, batch(pools.step), pools.due())
        joined = pools.join(batch(pools.step))
        if joined is not None:
            rows.append(joined.inputs)
        pools.step += 1
    return rows


def schedule(pools: LayerPools, spliced: Spliced, steps: int) -> list[tuple[list[str], list[str]]]:
    seen = []
    for _ in range(steps):
        seen.append((pools.active(), pools.due()))
        run(pools, spliced, 1)
    return seen


def test_all_layers_are_active_in_each_step_from_the_first_one(spliced: Spliced) -> None:
    pools = LayerPools({"": plan(), "1": plan(every_n_steps=2)}, start_step=2)
    seen = schedule(pools, spliced, 6)
    assert [active for active, _ in seen] == [[], []] + [["", "1"]] * 4
    assert [due for _, due in seen] == [[], [], ["", "1"], [""], ["", "1"], [""]]


@pytest.mark.parametrize("start", [0, 1, 2])
def test_layers_take_turns_and_each_counts_its_own(spliced: Spliced, start: int) -> None:
    layers = {"": plan(every_n_steps=2), "1": plan()}
    pools = LayerPools(layers, alternate=True, start_step=start)
    seen = schedule(pools, spliced, start + 8)[start:]
    names = ["", "1"] if start % 2 == 0 else ["1", ""]
    assert [active for active, _ in seen] == [[names[i % 2]] for i in range(8)]
    assert [due for _, due in seen].count(["1"]) == 4
    assert [due for active, due in seen if active == [""]] == [[""], [], [""], []]


def test_empty_pool_generates_whatever_the_step(spliced: Spliced) -> None:
    pools = LayerPools({"": plan(every_n_steps=5)})
    pools.step = 3
    assert pools.due() == [""]
    run(pools, spliced, 1)
    assert pools.due() == []


def test_refresh_takes_the_first_examples_of_the_batch_and_no_more_than_it_has(
    spliced: Spliced,
) -> None:
    pools = LayerPools({"": plan(refresh=3), "1": plan(refresh=9, stale=False)})
    made = pools.refresh(spliced, batch(0), ["", "1"])
    assert torch.equal(made[""].clean, batch(0).x[:3])
    assert len(made["1"].clean) == N
    assert torch.equal(pools.by_layer["1"].filled("inputs"), batch(0).x)
    assert torch.equal(pools.by_layer[""].filled("labels"), batch(0).labels[:3])
    assert torch.equal(pools.by_layer[""].filled("inputs"), made[""].adversarial)


def test_join_puts_as_many_examples_as_asked_for_or_there_are(spliced: Spliced) -> None:
    pools = LayerPools({"": plan(refresh=3, mix=4)})
    assert [len(rows) - N for rows in run(pools, spliced, 3)] == [3, 4, 4]


def test_nothing_joins_before_the_start() -> None:
    assert not LayerPools({"": plan()}, start_step=1).join(batch(0)).groups


def test_age_is_the_mean_number_of_steps_since_examples_were_made(spliced: Spliced) -> None:
    pools = LayerPools({"": plan(refresh=3, every_n_steps=2)})
    run(pools, spliced, 4)
    # Three examples of step 0 and three of step 2, seen at step 4.
    assert pools.age("").item() == (4 + 2) / 2


def test_same_seed_gives_the_same_examples_and_another_seed_others(spliced: Spliced) -> None:
    runs = [run(LayerPools({"": plan()}, seed=seed), spliced, 8) for seed in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(runs[0], runs[2], strict=True))


def test_randomness_is_the_pools_own(spliced: Spliced) -> None:
    before = torch.get_rng_state()
    run(LayerPools({"": plan(), "1": plan()}), spliced, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_pools_go_on_from_their_state_bit_by_bit(spliced: Spliced) -> None:
    layers = {"": plan(), "1": plan(relative=True, stale=False)}
    whole = LayerPools(layers, alternate=True, seed=5)
    run(whole, spliced, 7)
    state = copy.deepcopy(whole.state_dict())
    resumed = LayerPools(layers, alternate=True, seed=99)
    resumed.load_state_dict(state, CPU)
    assert resumed.step == 7
    assert torch.equal(resumed.spreads["1"], whole.spreads["1"])
    assert all(
        torch.equal(a, b)
        for a, b in zip(run(whole, spliced, 9), run(resumed, spliced, 9), strict=True)
    )


def test_a_state_without_pools_is_gone_on_from_with_empty_ones(spliced: Spliced) -> None:
    whole = LayerPools({"": plan()}, seed=5)
    run(whole, spliced, 7)
    resumed = LayerPools({"": plan()}, seed=99)
    resumed.load_state_dict({**whole.state_dict(), "pools": None}, CPU)
    assert (resumed.step, len(resumed.by_layer[""])) == (7, 0)
    assert torch.equal(resumed.generator.get_state(), whole.generator.get_state())
    run(resumed, spliced, 1)
    assert len(resumed.by_layer[""]) == 3


def test_state_holds_the_pools_own_tensors(spliced: Spliced) -> None:
    pools = LayerPools({"": plan()})
    run(pools, spliced, 1)
    kept = pools.state_dict()["pools"][""]["tensors"]["inputs"]
    assert kept.data_ptr() == pools.by_layer[""].tensors["inputs"].data_ptr()


def test_state_of_other_layers_is_refused() -> None:
    with pytest.raises(PoolError, match=r"layers \['', '1'\], this run attacks \[''\]: give the"):
        LayerPools({"": plan()}).load_state_dict(
            LayerPools({"": plan(), "1": plan()}).state_dict(), CPU
        )


def test_examples_that_do_not_fit_are_named_with_their_layer(spliced: Spliced) -> None:
    pools = LayerPools({"": plan()})
    run(pools, spliced, 1)
    pools.by_layer[""].tensors["inputs"] = torch.zeros(10, 4).double()
    with pytest.raises(PoolError, match=r"Layer '': The pool stores 'inputs' as torch.float64"):
        run(pools, spliced, 1)


def test_layers_are_needed_and_checked() -> None:
    with pytest.raises(ValueError, match="at least one layer; '' means the input"):
        LayerPools({})
    with pytest.raises(ValueError, match="For the input"):
        LayerPools({"": plan(at_layer=True)})


def test_pools_that_were_sent_to_another_process_draw_the_same_numbers() -> None:
    pools = LayerPools({"": PerturbedLayer(GradientAttack(1.0))}, seed=3)
    torch.rand(2, generator=pools.generator)
    sent = pickle.loads(pickle.dumps(pools))
    assert torch.equal(
        torch.rand(5, generator=sent.generator), torch.rand(5, generator=pools.generator)
    )
