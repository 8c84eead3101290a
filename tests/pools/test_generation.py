"""Examples for several layers of one batch, shared and separate, and what is told of them."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    GaussianNoise,
    GradientAttack,
    RandomTargets,
    SecondLikeliest,
    TrueLabels,
)
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.generation import (
    Batch,
    Examples,
    GenerationError,
    Spliced,
    check_examples,
    generate,
    one_step,
)
from lit_intriguing.splice import Splice, SpliceError
from lit_intriguing.types import Bounds
from tests.oracles import second_likeliest, steepest

N, FEATURES, CLASSES = 6, 4, 3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lower = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh())
        self.drop = nn.Dropout(0.5)
        self.upper = nn.Linear(5, CLASSES)
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += 1
        return self.upper(self.drop(self.lower(x)))


def spliced(model: nn.Module | None = None) -> Spliced:
    model = model or Network()
    return Spliced(model, Splice(model, [name for name, _ in model.named_children()]))


def batch(rows: int = N) -> Batch:
    source = torch.Generator().manual_seed(1)
    x = torch.rand(rows, FEATURES, generator=source)
    return Batch(x, torch.randint(CLASSES, (rows,), generator=source))


def plan(attack: Attack | None = None, **options: object) -> PerturbedLayer:
    return PerturbedLayer(attack or GradientAttack(0.3), **{"goal": TrueLabels(), **options})


def make(
    layers: dict[str, PerturbedLayer],
    on: Spliced | None = None,
    rows: Batch | None = None,
    spreads: dict[str, Tensor] | None = None,
) -> dict[str, Examples]:
    source = torch.Generator().manual_seed(0)
    return generate(on or spliced(), rows or batch(), layers, spreads or {}, source)


def true_label_gradient(hidden: Tensor, top: nn.Module) -> Tensor:
    hidden = hidden.detach().requires_grad_()
    loss = -nn.functional.cross_entropy(top(hidden), batch().labels, reduction="sum")
    return torch.autograd.grad(loss, hidden)[0]


def test_examples_of_all_layers_are_one_step_from_their_clean_activations() -> None:
    net, x = Network().eval(), batch().x
    made = make({"lower": plan(), "": plan()}, spliced(net))
    assert list(made) == ["lower", ""]
    hidden = net.lower(x).detach()
    for name, clean, top in (("", x, net), ("lower", hidden, net.upper)):
        expected = clean + 0.3 * steepest(true_label_gradient(clean, top), 2)
        torch.testing.assert_close(made[name].clean, clean)
        torch.testing.assert_close(made[name].adversarial, expected.float())
        assert not made[name].clean.requires_grad
        assert not made[name].adversarial.requires_grad


def test_layers_that_share_the_clean_gradient_cost_one_forward() -> None:
    net = Network()
    make({"": plan(), "lower": plan(goal=SecondLikeliest())}, spliced(net))
    assert net.forwards == 1


def test_layer_with_its_own_search_does_not_change_the_shared_ones() -> None:
    alone = make({"": plan()})
    layers = {"": plan(), "lower": plan(GradientAttack(0.3, steps=2))}
    assert torch.equal(make(layers)[""].adversarial, alone[""].adversarial)


def test_evaluation_mode_inside_and_everything_as_it_was_afterwards() -> None:
    net = Network()
    net.lower.eval()
    modes = [module.training for module in net.modules()]
    random, rows = torch.get_rng_state(), batch()
    made = make({"": plan(), "lower": plan(GaussianNoise(0.1))}, spliced(net), rows)
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(
        make({"": plan()}, spliced(net.eval()))[""].adversarial, made[""].adversarial
    )
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(rows.x, batch().x)
    assert not rows.x.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_examples_are_made_where_gradients_are_off(mode: type) -> None:
    rows, layers = batch(), {"": plan(), "lower": plan(GradientAttack(0.3, steps=2))}
    on = spliced()
    wanted = make(layers, on, rows)
    with mode():
        found = make(layers, on, rows)
    for name in layers:
        assert torch.equal(found[name].adversarial, wanted[name].adversarial)


def test_each_goal_makes_its_own_criterion_and_equal_goals_share_one() -> None:
    layers = {
        "": plan(goal=RandomTargets()),
        "lower": plan(goal=RandomTargets()),
        "upper": plan(goal=SecondLikeliest()),
    }
    net = Network().eval()
    made = make(layers, spliced(net))
    assert made[""].criterion is made["lower"].criterion
    expected = second_likeliest(net(batch().x), batch().labels)
    assert torch.equal(made["upper"].criterion.labels, expected)


RELATIVE = [
    GradientAttack(0.3),
    GradientAttack(0.3, math.inf),
    GradientAttack(0.3, steps=3),
    GradientAttack(0.3, math.inf, steps=3),
]


@pytest.mark.parametrize("attack", RELATIVE)
def test_relative_lengths_are_in_units_of_the_spread(attack: GradientAttack) -> None:
    made = make({"lower": plan(attack, relative=True)})["lower"]
    spread = sum(made.clean[:, i].double().var().item() for i in range(5)) ** 0.5
    assert made.spread.item() == pytest.approx(spread, rel=1e-5)
    lengths = torch.linalg.vector_norm(made.adversarial - made.clean, ord=attack.norm, dim=1)
    assert lengths.tolist() == pytest.approx([0.3 * spread] * N, rel=1e-4)


@pytest.mark.parametrize("attack", RELATIVE[:2])
@pytest.mark.parametrize("rows", [1, N])
@pytest.mark.parametrize("layer", ["", "lower"])
def test_lengths_can_be_in_units_of_each_examples_norm(
    layer: str, rows: int, attack: GradientAttack
) -> None:
    made = make({layer: plan(attack, relative="example")}, rows=batch(rows))[layer]
    norms = torch.linalg.vector_norm(made.clean, dim=1)
    lengths = torch.linalg.vector_norm(made.adversarial - made.clean, ord=attack.norm, dim=1)
    torch.testing.assert_close(lengths, 0.3 * norms)
    absolute = make({layer: plan(attack)}, rows=batch(rows))[layer]
    torch.testing.assert_close(
        made.adversarial - made.clean, (absolute.adversarial - absolute.clean) * norms[:, None]
    )


@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"), [(torch.bfloat16, 1.0, 0.05), (torch.float32, 128.0, 1e-3)]
)
def test_lengths_in_units_of_the_norm_keep_their_digits_beside_large_values(
    dtype: torch.dtype, offset: float, tolerance: float
) -> None:
    x = torch.rand(N, 5000, generator=torch.Generator().manual_seed(0)).to(dtype) + offset
    gradient = torch.randn(N, 5000, generator=torch.Generator().manual_seed(1)).to(dtype)
    layer = plan(GradientAttack(0.05), relative="example")
    moved, spread = one_step(layer, x, gradient, None, FirstRows(N))
    wanted = -0.05 * x.norm(dim=1, keepdim=True) * gradient / gradient.norm(dim=1, keepdim=True)
    change = moved.double() - x.double()
    assert spread is None
    assert ((change - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < tolerance


def test_norms_beyond_the_range_of_half_precision_do_no_harm() -> None:
    x = torch.full((1, 100), 1e4, dtype=torch.float16)  # of a norm of 1e5
    layer = plan(GradientAttack(1e-2), relative="example")
    moved, _ = one_step(layer, x, torch.ones_like(x), None, FirstRows(1))
    assert moved.dtype == torch.float16
    assert moved.float().sub(x.float()).norm().item() == pytest.approx(1e3, rel=0.05)


def test_example_of_zeros_stays_as_it_is_where_lengths_are_in_units_of_its_norm() -> None:
    rows = batch()
    rows.x[2] = 0
    made = make({"": plan(relative="example")}, rows=rows)[""]
    assert made.adversarial[2].abs().max() < 1e-15
    message = check_examples("", plan(relative="example"), made)
    assert message is not None
    assert f"1 of {N} examples have a zero or non-finite gradient, or a norm of zero, or" in message
    assert (made.adversarial - made.clean)[[0, 1, 3, 4, 5]].abs().amax(1).min() > 0.01


def test_batch_of_one_example_takes_the_last_spread() -> None:
    layers = {"lower": plan(relative=True)}
    made = make(layers, rows=batch(1), spreads={"lower": torch.tensor(2.0)})["lower"]
    assert (made.adversarial - made.clean).norm().item() == pytest.approx(0.6, rel=1e-5)
    with pytest.raises(GenerationError, match="first batch has one example: use larger batches"):
        make(layers, rows=batch(1))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("layer", ["", "lower"])
def test_found_perturbations_are_cut_off_at_the_greatest_length(layer: str, relative: bool) -> None:
    free = make({layer: plan(BoxLBFGS(), relative=relative)})[layer]
    unit = 1.0 if free.spread is None else float(free.spread)
    lengths = (free.adversarial - free.clean).norm(dim=1) / unit
    limit = float(lengths.sort().values[-2:].mean())  # between the longest two
    assert limit < float(lengths.max())
    cut = make({layer: plan(BoxLBFGS(), relative=relative, max_length=limit)})[layer]
    shorter = (limit / lengths.clamp(min=1e-9)).clamp(max=1.0).unsqueeze(1)
    expected = free.clean + shorter * (free.adversarial - free.clean)
    assert torch.allclose(cut.adversarial, expected, atol=1e-5)


@pytest.mark.parametrize("attack", [GradientAttack(5.0), GradientAttack(5.0, steps=2)])
@pytest.mark.parametrize("relative", [False, True])
def test_bounds_hold_in_the_layers_own_units(attack: Attack, relative: bool) -> None:
    bounds = Bounds(0.0, [1.0, 1.1, 1.2, 1.3])
    made = make({"": plan(attack, relative=relative, bounds=bounds)})[""]
    assert bounds.contains(made.adversarial).all()
    assert (made.adversarial[:, 3] > 1.2).any()


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("attack", [GradientAttack(0.3), GradientAttack(0.3, steps=2)])
def test_examples_without_gradient_are_stuck_and_harm_no_other(
    attack: Attack, relative: bool
) -> None:
    class Half(Network):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (torch.arange(len(x)) % 2).unsqueeze(1)

    layer = plan(attack, relative=relative)
    made = make({"lower": layer}, spliced(Half()))["lower"]
    whole = make({"lower": layer})["lower"]
    assert made.stuck().tolist() == [True, False] * (N // 2)
    torch.testing.assert_close(made.adversarial[1::2], whole.adversarial[1::2])
    torch.testing.assert_close(made.adversarial[::2], made.clean[::2])
    message = check_examples("lower", layer, made)
    assert message is not None
    assert f"'lower': 3 of {N} examples have a zero or non-finite gradient" in message


@pytest.mark.parametrize("relative", [False, True, "example"])
def test_examples_of_which_all_are_stuck_are_refused(relative: bool | str) -> None:
    class Flat(Network):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 0

    layer = plan(relative=relative)
    made = make({"lower": layer}, spliced(Flat()))["lower"]
    with pytest.raises(GenerationError, match=r"output of layer 'lower' is zero .* all 6 examples"):
        check_examples("lower", layer, made)


@pytest.mark.parametrize("value", [0.0, 0.5, 100.0])
def test_activation_without_spread_stays_finite(value: float) -> None:
    same = Batch(torch.full((N, FEATURES), value), batch().labels)
    made = make({"": plan(relative=True)}, rows=same)[""]
    torch.testing.assert_close(made.adversarial, made.clean)


def test_good_examples_need_no_word() -> None:
    layer = plan(bounds=Bounds(-5.0, 5.0), relative=True)
    assert check_examples("lower", layer, make({"lower": layer})["lower"]) is None


def test_clean_tensor_outside_the_bounds_is_refused() -> None:
    layer = plan(bounds=Bounds(0.4, 0.6))
    with pytest.raises(GenerationError, match=r"Layer '': .*range from .* 0.4 .. 0.6"):
        check_examples("", layer, make({"": layer})[""])


def test_clean_tensor_outside_the_bounds_is_refused_by_a_separate_search_too() -> None:
    layer = plan(GradientAttack(0.1, steps=2), bounds=Bounds(0.4, 0.6), relative=True)
    with pytest.raises(
        GenerationError, match=r"Layer '': .*range from 0.\d+ to 0.\d+ .* 0.4 .. 0.6"
    ):
        make({"": layer})


def test_activation_that_is_not_finite_is_refused() -> None:
    rows = batch()
    rows.x[2, 1] = math.nan
    layer = plan()
    with pytest.raises(GenerationError, match=r"Layer 'lower': .*holds NaN or infinity"):
        check_examples("lower", layer, make({"lower": layer}, rows=rows)["lower"])


def test_success_is_verified_by_a_forward_pass_in_evaluation_mode() -> None:
    net = Network()
    on = spliced(net)
    made = make({"": plan(GradientAttack(1.0)), "lower": plan(GradientAttack(1.0))}, on)
    found = {name: one.success(on, name, batch().x) for name, one in made.items()}
    assert net.training
    net.eval()
    outputs = {"": net(made[""].adversarial), "lower": net.upper(made["lower"].adversarial)}
    for name, logits in outputs.items():
        assert torch.equal(found[name], logits.argmax(1) != batch().labels)
        assert found[name].any()


def test_distortion_is_that_of_the_step() -> None:
    made = make({"lower": plan(GradientAttack(0.3))})["lower"]
    assert made.distortion().tolist() == pytest.approx([0.3 / 5**0.5] * N, rel=1e-5)


class Pair(Network):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Wrong(Network):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:2]


class Detached(Network):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Around(Network):
    def forward(self, x: Tensor) -> Tensor:
        self.lower(x)
        return self.upper(x.repeat(1, 2)[:, :5])


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (Pair, SpliceError, "'lower' was not called"),
        (Wrong, SpliceError, r"logits of shape \(6, C\) for 6 inputs; it returned .* \(2, 3\)"),
        (Detached, GenerationError, "no gradient by the attacked layers.*no argmax"),
        (Around, GenerationError, "no gradient by the output of layer 'lower'"),
    ],
)
def test_models_that_cannot_be_attacked_are_refused(
    model: type[Network], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make({"lower": plan()}, spliced(model()))
