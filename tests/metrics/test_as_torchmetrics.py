"""What torchmetrics' own MetricTester checks of its metrics, of all of ours."""

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torchmetrics import Metric, MetricCollection

from lit_intriguing import metrics
from lit_intriguing.metrics import (
    CertifiedAccuracy,
    ClassRobustError,
    DistanceQuantiles,
    ErrorRate,
    RobustError,
    TransferRates,
)
from lit_intriguing.metrics.base import KEYWORDS
from tests.gpu.training import DEVICES

SIZES = (3, 1, 4, 2)
"""Rows of each batch."""


class Case(NamedTuple):
    """A metric, and the arguments of one `update` of so many rows."""

    build: Callable[..., Metric]
    batch: Callable[[int, torch.Generator], tuple[Tensor, ...]]


def logits_and_labels(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    logits = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    return logits, torch.randint(3, (rows,), generator=generator)


def distances(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return (torch.rand(rows, generator=generator),)


def distances_and_labels(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return *distances(rows, generator), torch.randint(2, (rows,), generator=generator)


def answers_and_labels(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    answers = torch.randint(4, (2, 3, rows), generator=generator)
    return answers, torch.randint(4, (rows,), generator=generator)


CASES = {
    "CertifiedAccuracy": Case(
        lambda **more: CertifiedAccuracy(norms=1.0, at=[0.0, 0.3], **more), logits_and_labels
    ),
    "ClassRobustError": Case(
        lambda **more: ClassRobustError(classes=2, at=[0.25, 0.625], **more), distances_and_labels
    ),
    "DistanceQuantiles": Case(
        lambda **more: DistanceQuantiles(shares=[0.25, 0.5, 1.0], **more), distances
    ),
    "ErrorRate": Case(lambda **more: ErrorRate(top=2, **more), logits_and_labels),
    "RobustError": Case(lambda **more: RobustError(at=[0.25, 0.625], **more), distances),
    "TransferRates": Case(lambda **more: TransferRates(2, 3, **more), answers_and_labels),
}
every_metric = pytest.mark.parametrize("name", CASES)


def batches(name: str) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [CASES[name].batch(rows, generator) for rows in SIZES]


def filled(name: str, parts: list[tuple[Tensor, ...]] | None = None, **keywords: Any) -> Metric:
    metric = CASES[name].build(**keywords)
    for part in batches(name) if parts is None else parts:
        metric.update(*part)
    return metric


def joined(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Give all rows as one batch; they lie in the last dimension of all but logits."""
    return tuple(torch.cat(one, 0 if one[0].is_floating_point() else -1) for one in zip(*parts))  # noqa: B905


def same(found: Tensor, expected: Tensor) -> bool:
    return torch.equal(found.nan_to_num(-1), expected.nan_to_num(-1))


def test_the_cases_are_all_metrics() -> None:
    there = [getattr(metrics, name) for name in metrics.__all__]
    kinds = [one for one in there if isinstance(one, type) and issubclass(one, Metric)]
    assert {one.__name__ for one in kinds} == set(CASES)
    assert all(type(CASES[one.__name__].build()) is one for one in kinds)


@every_metric
def test_batches_of_any_sizes_give_what_one_batch_gives(name: str) -> None:
    whole = CASES[name].build()
    whole.update(*joined(batches(name)))
    assert same(filled(name).compute(), whole.compute())


@every_metric
@pytest.mark.parametrize("keyword", ["compute_on_cpu", "compute_with_cache", "dist_sync_on_step"])
@pytest.mark.parametrize("value", [False, True])
def test_torchmetrics_keywords_are_kept_and_change_no_value(
    name: str, keyword: str, value: bool
) -> None:
    metric = filled(name, **{keyword: value}, sync_on_compute=False)
    assert getattr(metric, keyword) is value
    assert metric.sync_on_compute is False
    assert same(metric.compute(), filled(name).compute())


@every_metric
def test_values_are_kept_only_with_a_cache(name: str) -> None:
    with_cache, without = filled(name), filled(name, compute_with_cache=False)
    assert with_cache.compute() is with_cache.compute()
    assert without.compute() is not without.compute()


@every_metric
def test_an_unknown_keyword_is_named_with_what_was_meant(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: .*sync_on_compte.*mean 'sync_on_compute'.*take"):
        CASES[name].build(sync_on_compte=True)
    with pytest.raises(ValueError, match=f"{name}: .*compute_on_cpu"):
        CASES[name].build(compute_on_cpu="yes")


def test_the_keywords_of_messages_are_those_of_torchmetrics() -> None:
    for keyword in KEYWORDS:
        value = len if "fn" in keyword else None if keyword == "process_group" else True
        assert getattr(ErrorRate(**{keyword: value}), keyword) is value


@every_metric
def test_forward_gives_the_batch_alone_and_counts_it(name: str) -> None:
    metric = CASES[name].build()
    for part in batches(name):
        assert same(metric(*part), filled(name, [part]).compute())
    assert same(metric.compute(), filled(name).compute())
    assert metric.update_count == len(SIZES)


@every_metric
def test_a_reset_metric_is_a_new_one(name: str) -> None:
    metric = filled(name)
    before = metric.compute()
    metric.reset()
    assert metric.update_count == 0
    last = batches(name)[-1]
    metric.update(*last)
    assert same(metric.compute(), filled(name, [last]).compute())
    assert not same(metric.compute(), before)


@every_metric
@pytest.mark.parametrize("what", ["build", "reset", "update", "forward", "compute"])
def test_inference_mode_does_no_harm(name: str, what: str) -> None:
    first, *rest = batches(name)
    with torch.inference_mode(what == "build"):
        metric = CASES[name].build()
    with torch.inference_mode(what == "reset"):
        metric.reset()
    with torch.inference_mode(what == "update"):
        metric.update(*first)
    with torch.inference_mode(what == "compute"):
        assert same(metric.compute(), filled(name, [first]).compute())
    for part in rest:
        metric.update(*part)
    with torch.inference_mode(what == "forward"):
        metric(*first)
    metric(*first)
    expected = filled(name, [*batches(name), first, first]).compute()
    assert same(copy.deepcopy(metric).compute(), expected)
    assert same(pickle.loads(pickle.dumps(metric)).compute(), expected)
    metric.compute().zero_()  # what it gives is an ordinary tensor


def by_pickle(metric: Metric) -> Metric:
    copied: Metric = pickle.loads(pickle.dumps(metric))
    return copied


@every_metric
@pytest.mark.parametrize("copied", [by_pickle, Metric.clone], ids=["pickled", "cloned"])
def test_a_copy_goes_on_alone(name: str, copied: Callable[[Metric], Metric]) -> None:
    *first, last = batches(name)
    metric = filled(name, first, sync_on_compute=False)
    before = metric.compute()
    other = copied(metric)
    assert type(other) is type(metric)
    assert other.sync_on_compute is False
    other.update(*last)
    assert same(other.compute(), filled(name).compute())
    assert same(metric.compute(), before)
    assert hash(other) != hash(metric)


@every_metric
def test_what_a_metric_is_cannot_be_changed(name: str) -> None:
    metric = CASES[name].build()
    assert metric.full_state_update is False
    for fact in ("is_differentiable", "higher_is_better", "full_state_update"):
        with pytest.raises(RuntimeError, match=fact):
            setattr(metric, fact, True)


@every_metric
def test_no_gradient_leads_through_what_is_not_differentiable(name: str) -> None:
    assert CASES[name].build().is_differentiable is False
    leaves = [one.requires_grad_(one.is_floating_point()) for one in batches(name)[0]]
    assert not CASES[name].build()(*leaves).requires_grad


@every_metric
def test_a_batch_that_is_changed_later_does_not_count_again(name: str) -> None:
    parts = batches(name)
    metric = filled(name, parts)
    for part in parts:
        for one in part:
            one.zero_()
    assert same(metric.compute(), filled(name).compute())


class Host(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.metric = CASES[name].build()


@every_metric
def test_states_are_in_a_state_dict_only_when_asked(name: str) -> None:
    host, other = Host(name), Host(name)
    host.metric = filled(name)
    assert host.state_dict() == {}
    host.metric.persistent(True)
    other.metric.persistent(True)
    saved = host.state_dict()
    assert set(saved) == {f"metric.{one}" for one in host.metric.metric_state}
    other.load_state_dict(saved)
    other.metric.update(*batches(name)[0])
    expected = filled(name, [*batches(name), batches(name)[0]])
    assert same(other.metric.compute(), expected.compute())


@every_metric
def test_two_metrics_merge_into_one(name: str) -> None:
    parts = batches(name)
    one, other = filled(name, parts[:1]), filled(name, parts[1:])
    one.merge_state(other)
    assert same(one.compute(), filled(name).compute())


def certified(norms: Any, at: float = 0.1, logit_error: float | None = None) -> Metric:
    return CertifiedAccuracy(norms, [at], logit_error)


SURE, NOT_SURE = torch.tensor([[9.0, 0, 0]]).double(), torch.tensor([[1.0, 0, 0]]).double()
TRUE = torch.tensor([0])
NEAR, MIDDLE = torch.tensor([0.0]), torch.tensor([0.5])
DIFFERENT = {
    "top": (ErrorRate(), ErrorRate(2), (SURE, TRUE), (NOT_SURE, TRUE + 1)),
    "sizes": (RobustError([0.3]), RobustError([0.6]), (NEAR,), (MIDDLE,)),
    "close sizes": (
        RobustError([0.5 - 1e-7]), RobustError([0.5 - 1e-5]), (NEAR,), (MIDDLE,),
    ),
    "sizes of classes": (
        ClassRobustError(2, [0.3]), ClassRobustError(2, [0.6]), (NEAR, TRUE), (MIDDLE, TRUE),
    ),
    "norms": (certified(0.1), certified(20.0), (SURE, TRUE), (NOT_SURE, TRUE)),
    "distances": (certified(1.0), certified(1.0, at=2.0), (SURE, TRUE), (NOT_SURE, TRUE)),
    "errors": (
        certified(1.0), certified(1.0, logit_error=0.9), (SURE, TRUE), (NOT_SURE, TRUE),
    ),
    "bounds of pairs": (
        certified(torch.ones(3, 3)), certified(20 * torch.ones(3, 3).T), (SURE, TRUE),
        (NOT_SURE, TRUE),
    ),
    "shares": (
        DistanceQuantiles([0.5]), DistanceQuantiles([1.0]), (NEAR,), (MIDDLE,),
    ),
}  # fmt: skip
"""Two metrics, a batch that they count alike, and one that they do not."""


@pytest.mark.parametrize("what", DIFFERENT)
def test_in_a_collection_each_counts_by_its_own_settings(what: str) -> None:
    first, second, alike, apart = DIFFERENT[what]
    one, other = first.clone(), second.clone()
    both = MetricCollection({"a": one.clone(), "b": other.clone()})
    for part in (alike, apart, apart):
        both.update(*part)
        for metric in (one, other):
            metric.update(*part)
    both(*alike)
    both.update(*alike)
    for metric in (one, other):
        metric.update(*alike)
        metric.update(*alike)
    found = both.compute()
    assert same(found["a"], one.compute())
    assert same(found["b"], other.compute())
    assert not same(found["a"], found["b"])
    both.reset()
    both.update(*apart)
    one.reset()
    one.update(*apart)
    assert same(both.compute()["a"], one.compute())


@every_metric
def test_in_a_collection_metrics_of_the_same_settings_count_once(name: str) -> None:
    both = MetricCollection({"a": CASES[name].build(), "b": CASES[name].build()})
    for part in batches(name):
        both.update(*part)
    assert list(both.compute_groups.values()) == [["a", "b"]]
    assert all(same(value, filled(name).compute()) for value in both.compute().values())


def test_what_was_counted_with_other_settings_is_not_merged() -> None:
    with pytest.raises(ValueError, match="ErrorRate: the other metric was made with other sett"):
        ErrorRate(top=2).merge_state(ErrorRate())
    with pytest.raises(ValueError, match="instance of ErrorRate"):
        ErrorRate().merge_state(RobustError([0.5]))
    metric = ErrorRate(top=2)
    metric.merge_state({"wrong": torch.tensor(1), "examples": torch.tensor(2)})
    assert (metric.wrong, metric.examples) == (1, 2)


def test_settings_are_in_no_state_dict() -> None:
    host = Host("ErrorRate")
    host.metric.persistent(True)
    assert set(host.state_dict()) == {"metric.wrong", "metric.examples"}
    assert set(host.metric.metric_state) == {"wrong", "examples"}
    host.load_state_dict({"metric.wrong": torch.tensor(1), "metric.examples": torch.tensor(2)})
    assert (host.metric.wrong, host.metric.examples) == (1, 2)


@every_metric
def test_a_metric_can_be_made_where_another_device_is_the_default(name: str) -> None:
    with torch.device("meta"):
        metric = CASES[name].build()
    states = [one for one in metric.metric_state.values() if isinstance(one, Tensor)]
    assert {one.device.type for one in states} <= {"meta"}


@every_metric
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_counts_stay_exact_in_any_type(name: str, dtype: torch.dtype) -> None:
    metric, expected = CASES[name].build().set_dtype(dtype), CASES[name].build()
    host = nn.ModuleList([metric]).to(dtype)  # as Lightning's precision 16-true does
    assert metric.dtype == dtype
    many = [one.clone() for one in CASES[name].batch(2049, torch.Generator().manual_seed(1))]
    for part in (many, *batches(name)):
        host[0].update(*part)
        expected.update(*part)
    assert same(metric.compute(), expected.compute())


@every_metric
def test_inputs_of_half_precision_count_as_their_values(name: str) -> None:
    if name == "CertifiedAccuracy":
        pytest.skip("it refuses logits of too little precision: tests/metrics/test_certified.py")
    parts = [
        [one.bfloat16() if one.is_floating_point() else one for one in part]
        for part in batches(name)
    ]
    wide = [[one.float() if one.is_floating_point() else one for one in part] for part in parts]
    assert same(filled(name, parts).compute(), filled(name, wide).compute())


@every_metric
@pytest.mark.parametrize("device", DEVICES)
def test_a_moved_metric_counts_where_it_lies(name: str, device: str) -> None:
    *first, last = batches(name)
    metric = filled(name, first).to(device)
    assert metric.device.type == device
    metric.update(*[one.to(device) for one in last])
    assert metric.compute().device.type == device
    assert same(metric.compute().cpu(), filled(name).compute())
    metric.reset()
    metric.update(*[one.to(device) for one in last])
    assert same(metric.cpu().compute(), filled(name, [last]).compute())


@every_metric
def test_states_follow_the_device_of_their_module(name: str) -> None:
    host = Host(name)
    host.to("meta")
    states = [one for one in host.metric.metric_state.values() if isinstance(one, Tensor)]
    assert host.metric.device.type == "meta"
    assert {one.device.type for one in states} <= {"meta"}


@pytest.fixture(autouse=True)
def _no_figure_left() -> Iterator[None]:
    yield
    plt.close("all")


@every_metric
def test_a_plot_shows_each_element_by_its_name(name: str) -> None:
    metric = filled(name)
    figure, axes = metric.plot()
    value = metric.compute()
    shown = [float(line.get_ydata()[0]) for line in axes.get_lines()]
    assert figure is not None
    assert shown == pytest.approx(value.flatten().tolist(), nan_ok=True)
    names = axes.get_legend_handles_labels()[1]
    assert len(set(names)) == len(names) == (0 if value.ndim == 0 else value.numel())
    assert axes.get_ylabel() == name


@every_metric
def test_a_plot_of_several_steps_has_a_line_for_each_element(name: str) -> None:
    metric = CASES[name].build()
    values = [metric(*part) for part in batches(name)]
    _, given = plt.subplots()
    none, axes = metric.plot(values, ax=given)
    assert none is None
    assert axes is given
    for line, shown in zip(
        axes.get_lines(), torch.stack(values).reshape(len(SIZES), -1).T, strict=False
    ):
        assert list(line.get_ydata()) == pytest.approx(shown.tolist(), nan_ok=True)
    assert len(axes.get_lines()) == values[0].numel()


@pytest.mark.parametrize(
    "build",
    [
        RobustError,
        DistanceQuantiles,
        lambda at: ClassRobustError(2, at),
        lambda at: CertifiedAccuracy(1.0, at),
    ],
    ids=["RobustError", "DistanceQuantiles", "ClassRobustError", "CertifiedAccuracy"],
)
def test_sizes_that_are_alike_in_six_digits_have_a_line_each(
    build: Callable[[list[float]], RobustError | CertifiedAccuracy],
) -> None:
    metric = build([0.03137254, 0.0313725])
    names = metric.element_names()
    assert "0.03137254" in names[0]
    value = torch.arange(len(names)) / 10
    _, axes = metric.plot(value)
    assert [line.get_ydata()[0] for line in axes.get_lines()] == pytest.approx(value.tolist())


def test_a_value_of_another_metric_is_not_plotted() -> None:
    with pytest.raises(ValueError, match=r"val must hold 2 elements, not 3: .*within 0\.5"):
        RobustError(at=[0.5, 1.0]).plot(torch.zeros(3))


def merge_in_a_group(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = {}
    for name in CASES:
        mine = batches(name)[rank::2]
        metric = filled(name, mine)
        alone = filled(name, mine, sync_on_compute=False)
        stepwise = CASES[name].build(dist_sync_on_step=True)
        found[name] = {
            "all": metric.compute(),
            "after": filled(name, mine)(*mine[0]),  # of the batch alone
            "alone": alone.compute(),
            "steps": torch.stack([stepwise(*part) for part in mine]),
            "all of steps": stepwise.compute(),
            "of one": filled(name, mine if rank else []).compute(),
            "again": goes_on(metric, mine).compute(),
        }
    torch.save(found, folder / f"found-{rank}.pt")
    dist.destroy_process_group()


def goes_on(metric: Metric, parts: list[tuple[Tensor, ...]]) -> Metric:
    metric.update(*parts[0])
    return metric


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("group")
    multiprocessing.start_processes(merge_in_a_group, (folder,), nprocs=2, start_method="fork")
    return [torch.load(folder / f"found-{rank}.pt") for rank in (0, 1)]


@every_metric
@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning", "ignore:.*before the ``update``:UserWarning"
)
def test_two_processes_merge(name: str, of_two_processes: list[dict[str, Any]]) -> None:
    parts = batches(name)
    for rank, found in enumerate(one[name] for one in of_two_processes):
        mine = parts[rank::2]
        assert same(found["all"], filled(name).compute())
        assert same(found["alone"], filled(name, mine).compute())
        assert same(found["after"], filled(name, mine[:1]).compute())
        steps = [filled(name, parts[2 * at : 2 * at + 2]).compute() for at in (0, 1)]
        assert same(found["steps"], torch.stack(steps))
        assert same(found["all of steps"], filled(name).compute())
        assert same(found["of one"], filled(name, parts[1::2]).compute())
        assert same(found["again"], filled(name, [*parts, *parts[:2]]).compute())
