"""The callbacks of the table: how each is made, and what a run with it must show."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    ExactResume,
    LipschitzMonitor,
    LipschitzPenalty,
    MovingAverage,
    PerturbedLayer,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.types import Bounds
from tests.real_hosts.host import BATCH, Host
from tests.real_hosts.running import Run

NO_BOX = Bounds(-math.inf, math.inf)

FAILED = ("measured nothing after", "made no examples after")
"""What a measuring callback warns of in place of ending the run."""


@dataclass(frozen=True)
class Column:
    """A callback of the table.

    Attributes:
        make: From the host, a second one like it, a folder and options of a way out to the
            callback.
        options: Options that a refusal may name.
        fault: Says what is wrong with a run (the second) beside one without the callback; empty
            if it is as it should be.
    """

    make: Callable[[Host, Callable[[], Host], Path, Mapping[str, Any]], Callback]
    options: frozenset[str]
    fault: Callable[[Run, Run], str]


def _training(layer: str | None, **always: Any) -> Callable[..., Callback]:
    def make(host: Host, other: object, folder: Path, options: Mapping[str, Any]) -> Callback:
        options = {**always, **options}
        name = options.pop("layer", host.hidden if layer is None else layer)
        goal = options.pop("goal", None)
        attack = GradientAttack(eps=0.1 if name else 0.5)
        plan = PerturbedLayer(
            attack, goal=goal, relative=bool(name), pool=16, mix=BATCH, refresh=BATCH
        )
        return AdversarialTraining({name: plan}, **options)

    return make


def _examples(
    host: Host, other: object, folder: Path, options: Mapping[str, Any]
) -> AdversarialExamples:
    attack = GradientAttack(eps=0.5, steps=3)
    return AdversarialExamples(
        attack, examples=BATCH, dirpath=folder, **{"bounds": NO_BOX, **options}
    )


def _transfer(
    host: Host, other: Callable[[], Host], folder: Path, options: Mapping[str, Any]
) -> TransferEvaluation:
    attack = GradientAttack(eps=0.5, steps=3)
    options = {"references": {"other": other().module}, "bounds": NO_BOX, **options}
    return TransferEvaluation(attack, examples=BATCH, dirpath=folder, **options)


def _monitor(
    host: Host, other: object, folder: Path, options: Mapping[str, Any]
) -> LipschitzMonitor:
    return LipschitzMonitor(every_n_steps=2, dirpath=folder, **options)


def _penalty(
    host: Host, other: object, folder: Path, options: Mapping[str, Any]
) -> LipschitzPenalty:
    return LipschitzPenalty(1.0, **options)


def _average(host: Host, other: object, folder: Path, options: Mapping[str, Any]) -> MovingAverage:
    return MovingAverage(0.5, **options)


def _resume(host: Host, other: object, folder: Path, options: Mapping[str, Any]) -> ExactResume:
    return ExactResume(**options)


def _units(host: Host, other: object, folder: Path, options: Mapping[str, Any]) -> UnitAnalysis:
    layer = options.get("layer", host.hidden)
    rest = {name: value for name, value in options.items() if name != "layer"}
    return UnitAnalysis([layer], k=2, rotations=3, dirpath=folder, **rest)


def unmoved(without: Run, run: Run) -> str:
    """Say how a run that only measures differs from one without."""
    changed = [name for name in without.weights if run.weights[name] != without.weights[name]]
    if changed:
        return f"it changes {len(changed)} weights, among them {changed[0]}"
    if run.modes != without.modes:
        return "it changes modes"
    if run.randomness != without.randomness:
        return "it changes the random states"
    for name, value in without.metrics.items():
        if repr(run.metrics.get(name)) != repr(value):
            return f"it changes the logged {name}"
    return ""


def _logged(run: Run, beginning: str) -> list[float]:
    return [value for name, value in run.metrics.items() if name.startswith(beginning)]


def _trained(without: Run, run: Run) -> str:
    if run.weights == without.weights:
        return "the weights are those of a run without it"
    if run.modes != without.modes:
        return "it changes modes"
    lengths = [
        v for n, v in run.metrics.items() if n.startswith("adversarial/") and "distortion" in n
    ]
    if not lengths:
        return "no adversarial/.../distortion is logged"
    return "" if all(0 < length < math.inf for length in lengths) else f"distortion {lengths}"


def _measured(beginning: str) -> Callable[[Run, Run], str]:
    def fault(without: Run, run: Run) -> str:
        failed = [text for text in run.told if any(words in text for words in FAILED)]
        missing = "" if _logged(run, beginning) else f"no {beginning}... is logged"
        return unmoved(without, run) or "".join(failed[:1]) or missing

    return fault


def _penalised(without: Run, run: Run) -> str:
    if run.weights == without.weights:
        return "the weights are those of a run without it"
    values = _logged(run, "lipschitz_penalty")
    return "" if values and all(map(math.isfinite, values)) else f"the penalty is {values}"


def _averaged(without: Run, run: Run) -> str:
    if run.weights == without.weights:
        return "the weights are those of a run without it"
    # The training is the same; the weights at the end are averages, and are what is validated.
    trained = {name: value for name, value in without.metrics.items() if "val" not in name}
    return unmoved(replace(without, metrics=trained), replace(run, weights=without.weights))


_READ = frozenset({"inputs", "labels", "model"})
_LOGITS = _READ | {"output"}
_MIXED = _LOGITS | {"layer", "goal", "keep_out"}

COLUMNS = {
    "input": Column(_training(""), _MIXED, _trained),
    "hidden": Column(_training(None), _MIXED, _trained),
    "keep out": Column(_training("", keep_out=True), _MIXED, _trained),
    "examples": Column(_examples, _LOGITS | {"layer"}, _measured("examples/")),
    "transfer": Column(_transfer, _LOGITS, _measured("transfer/")),
    "monitor": Column(
        _monitor, frozenset({"inputs", "input_shape", "model"}), _measured("lipschitz/network")
    ),
    "penalty": Column(_penalty, frozenset({"layers"}), _penalised),
    "average": Column(_average, frozenset(), _averaged),
    "resume": Column(_resume, frozenset(), unmoved),
    "units": Column(_units, _READ | {"layer", "reading", "features"}, _measured("units/")),
}
