"""Rows behind a batch: order, labels, edits and weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_intriguing.attacks import GradientAttack, Targeted
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.generation import Batch, Examples
from lit_intriguing.pools.joining import (
    Joined,
    examples_to_store,
    join,
    refuse_recomputing,
)
from lit_intriguing.splice import SpliceError
from tests.oracles import weighted_mean

ATTACK = GradientAttack(0.1)
CLEAN = Batch(torch.arange(6.0).view(3, 2), torch.tensor([10, 11, 12]))


def plan(**options: object) -> PerturbedLayer:
    return PerturbedLayer(ATTACK, **options)


LAYERS = {
    "late": plan(at_layer=True),
    "": plan(),
    "stale": plan(),
    "added": plan(stale=False),
    "later": plan(at_layer=True),
}
DRAWN = {
    "late": {"activation": torch.full((2, 4), 7.0), "labels": torch.tensor([40, 41])},
    "": {"inputs": torch.full((1, 2), -1.0), "labels": torch.tensor([20])},
    "stale": {
        "inputs": torch.full((2, 2), -2.0),
        "activation": torch.full((2, 4), 8.0),
        "labels": torch.tensor([30, 31]),
    },
    "added": {
        "inputs": torch.full((1, 2), -3.0),
        "perturbation": torch.full((1, 4), 0.5),
        "labels": torch.tensor([35]),
    },
    "later": {"activation": torch.full((1, 4), 9.0), "labels": torch.tensor([50])},
}


def joined() -> Joined:
    return join(CLEAN, DRAWN, LAYERS)


def test_clean_examples_come_first_then_examples_at_the_input_then_examples_at_layers() -> None:
    one = joined()
    assert one.clean == 3
    assert torch.equal(one.inputs[:3], CLEAN.x)
    assert one.inputs[3:, 0].tolist() == [-1, -2, -2, -3]
    assert one.labels.tolist() == [10, 11, 12, 20, 30, 31, 35, 40, 41, 50]


def test_groups_tell_where_each_layers_examples_and_labels_are() -> None:
    one = joined()
    assert list(one.groups) == ["", "stale", "added", "late", "later"]
    for name, group in one.groups.items():
        assert torch.equal(one.labels[group], DRAWN[name]["labels"])


def test_batch_itself_stays() -> None:
    joined()
    assert len(CLEAN.x) == len(CLEAN.labels) == 3


def test_batch_without_examples_is_joined_alike() -> None:
    empty = Batch(CLEAN.x[:0], CLEAN.labels[:0])
    one = join(empty, {"": DRAWN[""]}, LAYERS)
    assert one.clean == 0
    assert one.labels.tolist() == [20]
    assert one.groups == {"": slice(0, 1)}


def test_input_needs_no_edit() -> None:
    assert set(joined().edits) == {"late", "stale", "added", "later"}


def test_examples_at_a_layer_are_appended_to_its_output_one_layer_after_another() -> None:
    one = joined()
    output = torch.arange(28.0).view(7, 4)
    first = one.edits["late"](output)
    second = one.edits["later"](first)
    assert torch.equal(second[:7], output)
    assert second[7:, 0].tolist() == [7, 7, 9]
    assert len(second) == len(one.labels)


def test_stale_examples_take_the_place_of_their_own_activation_and_shield_the_layers_below() -> (
    None
):
    output = torch.arange(28.0).view(7, 4).requires_grad_()
    edited = joined().edits["stale"](output)
    assert edited[4:6].unique().tolist() == [8]
    assert torch.equal(edited[[0, 1, 2, 3, 6]], output[[0, 1, 2, 3, 6]])
    edited.sum().backward()
    assert output.grad[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("shield", [True, False])
def test_perturbations_are_added_to_the_activation_of_the_step(shield: bool) -> None:
    output = torch.arange(28.0).view(7, 4).requires_grad_()
    layers = {**LAYERS, "added": plan(stale=False, shield=shield)}
    edited = join(CLEAN, DRAWN, layers).edits["added"](output)
    assert torch.equal(edited[6], output[6] + 0.5)
    assert torch.equal(edited[:6], output[:6])
    edited.sum().backward()
    assert output.grad[6].tolist() == [0.0 if shield else 1.0] * 4
    assert output.grad[:6].min() == 1


@pytest.mark.parametrize("layer", ["late", "stale", "added"])
def test_examples_take_the_dtype_of_the_layers_output(layer: str) -> None:
    output = torch.zeros(7, 4, dtype=torch.bfloat16)
    assert joined().edits[layer](output).dtype == torch.bfloat16


def test_layers_met_in_another_order_are_refused() -> None:
    with pytest.raises(
        SpliceError, match=r"'later' has length 7 where 9 examples were expected.*in the order"
    ):
        joined().edits["later"](torch.zeros(7, 4))


@pytest.mark.parametrize("layer", ["stale", "added"])
def test_output_whose_first_dimension_is_not_the_batch_is_refused(layer: str) -> None:
    with pytest.raises(SpliceError, match=f"'{layer}' has length 2 .* must be the batch"):
        joined().edits[layer](torch.zeros(2, 4))


def test_recomputing_is_refused_in_the_backward_alone() -> None:
    edits = refuse_recomputing(["", "one"])
    assert set(edits) == {"one"}
    x = torch.ones(2, requires_grad=True)
    assert edits["one"](x) is x
    doubled = x * 2
    doubled.register_hook(edits["one"])
    with pytest.raises(SpliceError, match=r"Activation checkpointing.*use keep_out=False"):
        doubled.sum().backward()


def examples() -> Examples:
    clean = torch.zeros(3, 4)
    return Examples(clean, clean + 0.5, Targeted(CLEAN.labels), None)


@pytest.mark.parametrize(
    ("layer", "options", "names"),
    [
        ("", {}, {"inputs"}),
        ("hidden", {}, {"inputs", "activation"}),
        ("hidden", {"at_layer": True}, {"activation"}),
        ("hidden", {"stale": False}, {"inputs", "perturbation"}),
    ],
)
def test_pool_keeps_what_the_examples_need_and_no_more(
    layer: str, options: dict, names: set[str]
) -> None:
    made = examples()
    rows = examples_to_store(layer, plan(**options), made, CLEAN, 17)
    assert set(rows) == names | {"labels", "born"}
    assert rows["labels"] is CLEAN.labels
    assert rows["born"].tolist() == [17] * 3
    assert rows["born"].dtype == torch.int64
    expected = {
        "inputs": CLEAN.x if layer else made.adversarial,
        "activation": made.adversarial,
        "perturbation": made.adversarial - made.clean,
    }
    assert all(torch.equal(rows[name], expected[name]) for name in names)


def grouped(clean: int, sizes: dict[str, int]) -> Joined:
    groups, start = {}, clean
    for name, size in sizes.items():
        groups[name] = slice(start, start := start + size)
    return Joined(torch.zeros(clean, 1, dtype=torch.float64), torch.zeros(start), clean, groups, {})


POSITIVE = st.floats(2.0**-7, 2.0**7)
SIZES = st.dictionaries(
    st.sampled_from(["", "a", "b"]), st.tuples(st.integers(1, 30), POSITIVE), min_size=1
)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 30), SIZES, st.integers(0, 2**32))
def test_mean_over_weighted_examples_is_the_weighted_mean_of_the_groups(
    clean: int, layers: dict[str, tuple[int, float]], seed: int
) -> None:
    one = grouped(clean, {name: size for name, (size, _) in layers.items()})
    weights = {name: weight for name, (_, weight) in layers.items()}
    rows = len(one.labels)
    losses = torch.rand(rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = one.example_weights(weights)
    each = torch.ones(rows, dtype=torch.float64) if found is None else found
    means = {name: losses[group].mean().item() for name, group in one.groups.items()}
    expected = weighted_mean(losses[:clean].mean().item(), means, weights)
    assert each.shape == (rows,)
    assert each.mean().item() == pytest.approx(1, rel=1e-8)
    assert (each * losses).mean().item() == pytest.approx(expected, rel=1e-8)


def test_weights_of_layers_that_are_not_there_do_not_count() -> None:
    one = grouped(2, {"a": 2})
    found = one.example_weights({"a": 3.0, "b": 100.0})
    assert found.tolist() == pytest.approx([0.5, 0.5, 1.5, 1.5])


def test_equal_weights_need_none() -> None:
    assert grouped(4, {"a": 4, "b": 4}).example_weights({"a": 1.0, "b": 1.0}) is None
    assert grouped(4, {"a": 8}).example_weights({"a": 2.0}) is None
    assert grouped(4, {"a": 2}).example_weights({"a": 1.0}) is not None


def test_weights_have_the_dtype_of_the_inputs() -> None:
    found = grouped(2, {"a": 1}).example_weights({"a": 1.0})
    assert isinstance(found, Tensor)
    assert found.dtype == torch.float64
