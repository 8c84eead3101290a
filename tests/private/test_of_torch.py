"""The private names of torch in use: which feature of the package each one carries."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.nn.utils import parametrize, prune

from lit_intriguing.private import of_torch

BOUNDS = "every network_norm, LipschitzMonitor and `lightning lipschitz`"


def carries(what: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Let a test that fails, or does not find a name, say what breaks in the package."""

    def decorate(test: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(test)
        def named() -> None:
            try:
                test()
            except Exception as error:
                pytest.fail(f"torch has moved a private name that carries {what}: {error!r}")

        return named

    return decorate


def test_a_canary_says_what_breaks() -> None:
    @carries("singing")
    def silent() -> None:
        raise AttributeError("_voice")

    with pytest.raises(pytest.fail.Exception, match=r"carries singing.*_voice"):
        silent()


@carries("pools and weightings of models with activation checkpointing, and Splice")
def test_a_backward_pass_is_known_by_its_graph_task() -> None:
    seen: list[bool] = []
    y = torch.ones(1, requires_grad=True) * 2
    y.register_hook(lambda gradient: seen.append(of_torch.in_backward()))
    assert not of_torch.in_backward()
    y.sum().backward()
    assert seen == [True]


@carries("bounds of compiled models, and the refusal of attacks on compiled layers")
def test_a_compiled_model_is_known() -> None:
    module = nn.Linear(2, 2)
    wrapper = torch.compile(module, backend="eager")
    assert of_torch.is_compile_wrapper(wrapper)
    assert not of_torch.is_compile_wrapper(module)
    assert of_torch.inside_compile_wrapper(wrapper) is module


@carries("bounds of models after `compile()`, and the refusal of attacks on compiled layers")
def test_a_model_compiled_in_place_is_known_and_a_copy_can_be_freed_of_it() -> None:
    module = nn.Linear(2, 2)
    assert not of_torch.is_compiled_in_place(module)
    module.compile(backend="eager")
    assert of_torch.is_compiled_in_place(module)
    of_torch.set_not_compiled(vars(module))
    assert not of_torch.is_compiled_in_place(module)


@carries("bounds of a LightningModule compiled whole, and callbacks that hook its layers")
def test_a_function_that_was_compiled_is_known_and_so_is_what_it_was() -> None:
    module = nn.Linear(2, 2)
    plain = module.forward
    assert of_torch.before_compilation(plain) is plain
    module.forward = torch.compile(plain, backend="eager")
    assert of_torch.before_compilation(module.forward) == plain
    assert of_torch.is_compiled_in_place(module)
    of_torch.set_not_compiled(vars(module))
    assert not of_torch.is_compiled_in_place(module)
    assert module.forward == plain


@carries("layers' names in LipschitzMonitor and LipschitzPenalty for compiled models")
def test_names_lose_what_compilation_put_into_them() -> None:
    model = nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager"))
    names = [of_torch.uncompiled_name(name) for name, _ in model.named_parameters()]
    assert names == ["0.weight", "0.bias"]


@carries("infinite bounds of layers whose call was replaced")
def test_calling_a_module_goes_through_its_call_methods() -> None:
    for name in of_torch.call_methods():
        module = nn.Identity()
        setattr(module, name, lambda x: "replaced")
        assert nn.Module.__call__(module, 1) == "replaced"


@pytest.mark.usefixtures("no_group_left")
@carries("bounds and LipschitzPenalty of models under FSDP2 (ModelParallelStrategy)")
def test_fully_sharded_modules_are_known_by_their_type() -> None:
    from torch import distributed
    from torch.distributed.fsdp import fully_shard

    module = nn.Linear(2, 2)
    assert not of_torch.is_fully_sharded(module)
    assert of_torch.type_before_sharding(module) is nn.Linear
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        fully_shard(module)
        assert of_torch.is_fully_sharded(module)
        assert of_torch.type_before_sharding(module) is nn.Linear
    finally:
        distributed.destroy_process_group()


@carries("infinite bounds of layers under hooks that may change an output")
def test_hooks_are_found() -> None:
    module = nn.Identity()

    def before(*given: object) -> None: ...

    def after(*given: object) -> None: ...

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)
    assert of_torch.forward_pre_hooks(module) == [before]
    assert of_torch.forward_hooks(module) == [after]
    containers = of_torch.containers_of_hooks(vars(module))
    assert list(containers[of_torch.PRE_HOOKS].values()) == [before]
    assert [after] in [list(one.values()) for one in containers.values()]


@carries("infinite bounds under hooks that torch calls for all modules")
def test_global_hooks_are_found() -> None:
    from torch.nn.modules import module

    def hook(*given: object) -> None: ...

    handles = [
        module.register_module_forward_hook(hook),
        module.register_module_forward_pre_hook(hook),
    ]
    try:
        assert of_torch.global_forward_hooks().count(hook) == 2
    finally:
        for handle in handles:
            handle.remove()


@carries(BOUNDS)
def test_the_parts_of_a_module_are_found_those_that_are_none_too() -> None:
    module = nn.Module()
    module.register_module("part", None)
    module.register_parameter("weight", None)
    module.register_buffer("statistics", None)
    found = [of_torch.own_parts(module, kind) for kind in of_torch.PARTS]
    assert found == [{"part": None}, {"weight": None}, {"statistics": None}]


@carries("bounds of weights under parametrisations, inside parametrize.cached")
def test_no_weight_is_stored_or_read_in_the_cache_of_parametrisations() -> None:
    layer = nn.Linear(2, 2)
    calls: list[None] = []

    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(None)
            return x

    parametrize.register_parametrization(layer, "weight", Seen())
    with parametrize.cached():
        layer.weight, layer.weight  # noqa: B018
        before = len(calls)
        with of_torch.no_parametrization_cache():
            layer.weight  # noqa: B018
        assert len(calls) == before + 1
        layer.weight  # noqa: B018
        assert len(calls) == before + 1


@carries("bounds of convolutions with circular, reflected or replicated padding")
def test_a_convolution_has_the_padding_that_its_forward_uses() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=(1, 2), padding_mode="circular")
    assert of_torch.padding_sides(layer) == [2, 2, 1, 1]


@carries("infinite bounds of forwards that change tensors in place, and FrozenLayer")
def test_a_tensor_and_its_views_have_one_version_number() -> None:
    x = torch.ones(3)
    before = of_torch.version(x)
    assert before is not None
    x[:1].mul_(2)
    x.detach().mul_(2)
    assert of_torch.version(x) == before + 2
    with torch.inference_mode():
        assert of_torch.version(torch.ones(3)) is None


@carries(BOUNDS)
def test_tensors_without_values_have_shapes_and_refuse_to_be_read() -> None:
    with of_torch.without_values() as context:
        x = torch.ones(2, 3) @ torch.ones(3, 4)
        with pytest.raises(of_torch.values_needed()):
            bool(x.sum() > 0)
    assert x.shape == (2, 4)
    assert of_torch.has_no_values(x)
    assert not of_torch.has_no_values(torch.ones(2))
    assert not of_torch.is_from_another(x, context)
    with of_torch.without_values() as other:
        assert of_torch.is_from_another(x, other)


@carries("the norms of pruned and weight-normalised layers")
def test_hooks_that_compute_a_weight_name_it() -> None:
    pruned = prune.l1_unstructured(nn.Linear(3, 2), "weight", amount=1)
    (hook,) = of_torch.forward_pre_hooks(pruned)
    assert of_torch.hooked_name(hook) == "weight"
    assert of_torch.hooked_name(lambda module, inputs: None) == ""


@carries("silence while a network is traced whose control flow depends on values")
def test_torch_reports_with_the_logger_that_is_silenced() -> None:
    from torch._subclasses import fake_tensor

    assert fake_tensor.log.name == of_torch.LOGGER_WITHOUT_VALUES


@carries("infinite bounds of forwards that draw random numbers in evaluation")
def test_operations_that_draw_random_numbers_are_counted() -> None:
    with of_torch.draws() as draws:
        torch.ones(2) + 1
        assert draws.count == 0
        torch.rand(2)
        torch.empty(2).normal_()
        nn.functional.dropout(torch.ones(2))
    assert draws.count == 3


@carries("reading sharded checkpoints on one process")
def test_shards_are_put_together_without_other_processes() -> None:
    with TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        folder = Path(name)
        weight = torch.arange(6.0).reshape(2, 3)
        content = {"state_dict": {"weight": weight}, "more": {"lr": 0.5}}
        dcp.save(content, checkpoint_id=folder, no_dist=True)
        read = of_torch.read_shards(folder)
        names, shards = of_torch.index_of_shards(folder / ".metadata")
    assert torch.equal(read["state_dict"]["weight"], weight)
    assert read["more"] == {"lr": 0.5}
    assert names["state_dict.weight"] == ((2, 3), [((0, 0), (2, 3))])
    assert {one.name: one.sizes for one in shards} == {
        "state_dict.weight": (2, 3),
        "more.lr": None,
    }
