"""All checks of a model and an attack at once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean

import torch
from torch import Tensor, nn

from lit_intriguing.attacks.base import Attack
from lit_intriguing.attacks.closest import Restarts
from lit_intriguing.attacks.criteria import Untargeted
from lit_intriguing.attacks.gradient import GradientAttack, NoGradientError
from lit_intriguing.attacks.watch import Trace, Watch
from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.isolation import own_randomness
from lit_intriguing.sanity import gradients, other_attacks, outputs, paths
from lit_intriguing.sanity.finding import Finding
from lit_intriguing.types import Bounds

_WORDS = {
    "randomness": (
        0.01,
        "share of examples whose logits change from call to call. Attack the mean of several calls "
        "(AutoAttack's version `rand`).",
    ),
    "batch_dependence": (
        0.01,
        "share of examples whose logits depend on the rest of the batch. Evaluate with BatchNorm's "
        "running statistics.",
    ),
    "probabilities": (
        1.0,
        "1 where the outputs are probabilities. Give the attack the logits, before the softmax.",
    ),
    "zero_gradients": (
        0.05,
        "share of examples without a gradient. Look for rounding, argmax, detach() or a saturated "
        "softmax; try an attack without gradients (AutoAttack's Square).",
    ),
    "wrong_gradients": (
        0.1,
        "share of examples whose gradient is not that of the function that is computed. Look for "
        "detach(), straight-through estimators and backward passes by hand.",
    ),
    "silent_success": (
        0.01,
        "share of failed examples where the attack had passed by a success. Take its best example, "
        "not its last.",
    ),
    "break_point_angle": (
        0.8,
        "median over failed examples; near 1 the loss still falls at the end. Use more steps, or "
        "longer ones.",
    ),
    "increasing_loss": (
        0.3,
        "mean share of the loss's way that goes up. Use shorter steps, or average over the model's "
        "random numbers.",
    ),
    "unconstrained_failure": (
        0.01,
        "share of examples that an attack without a limit does not fool either. Its gradients lead "
        "nowhere: the robustness measured is not to be trusted.",
    ),
    "transfer_beats": (
        0.05,
        "largest share of examples that the attack misses, though those made for another model "
        "fool this one. Its own gradients hide something.",
    ),
}


def sanity_checks(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    others: Mapping[str, nn.Module] | None = None,
    bounds: Bounds | None = None,
    seed: int = 0,
) -> list[Finding]:
    """Look for signs that an attack's failures say nothing about a model.

    Args:
        model: Maps images to logits `(N, C)`; put into evaluation mode meanwhile, and left as it
            was.
        images: `(N, *S)`, some hundred are enough.
        labels: True labels, int `(N,)`.
        attack: The one whose failures are to be trusted: of a fixed length. The signs in its way
            are looked for in `GradientAttack` of several steps, also within `Restarts`.
        others: Models by name whose examples are tried on this one, best without a defence.
        bounds: The box of the images; None for [0, 1].
        seed: Of all random numbers.

    Returns:
        One for each check, in a fixed order. `value` is NaN where nothing could be measured, as
        where the attack fooled every example.

    Raises:
        ValueError: If there are no images, or not a label for each.
    """
    if not len(images):
        raise ValueError("sanity_checks: nothing to look at: 0 images.")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"sanity_checks: {len(images)} images need labels ({len(images)},), not "
            f"{tuple(labels.shape)}."
        )
    with preserved(model), own_randomness(seed), grad_island():
        images, labels = ordinary(images), ordinary(labels).long()
        with torch.no_grad():
            right = model(images).argmax(1) == labels
        chosen, classes = images[right], labels[right]
        random = outputs.randomness(model, images)
        found = {
            "randomness": random,
            # Of logits that change by themselves nothing can be said.
            "batch_dependence": math.nan if random else outputs.batch_dependence(model, images),
            "probabilities": float(outputs.gives_probabilities(model, images)),
            "zero_gradients": gradients.zero_gradients(model, images, labels),
            "wrong_gradients": gradients.wrong_gradients(model, images, labels, bounds=bounds),
            **_of_paths(_traces(model, chosen, classes, attack, bounds)),
            "unconstrained_failure": other_attacks.unconstrained_failure(
                model, chosen, classes, bounds
            ),
            "transfer_beats": _transfer(model, others or {}, chosen, classes, attack, bounds),
        }
    return [Finding(name, value, *_WORDS[name]) for name, value in found.items()]


def _traces(
    model: nn.Module, images: Tensor, labels: Tensor, attack: Attack, bounds: Bounds | None
) -> Sequence[Trace]:
    while isinstance(attack, Restarts):  # whose runs follow each other in one trace
        attack = attack.attack
    if not len(images) or not isinstance(attack, GradientAttack):
        return []
    watch = Watch(len(images))
    try:
        attack(model, images, Untargeted(labels), bounds=bounds, watch=watch)
    except NoGradientError:  # told by zero_gradients
        return []
    return watch.traces


def _of_paths(traces: Sequence[Trace]) -> dict[str, float]:
    failed = [one for one in traces if not bool(one.success[-1])]
    angles = sorted(_known(paths.break_point_angle(one.loss) for one in failed))
    rising = _known(paths.increasing_loss(one.loss) for one in failed)
    silent = [float(paths.silent_success(one.success)) for one in failed]
    return {
        "silent_success": fmean(silent) if silent else math.nan,
        "break_point_angle": angles[len(angles) // 2] if angles else math.nan,
        "increasing_loss": fmean(rising) if rising else math.nan,
    }


def _known(values: Iterable[float]) -> list[float]:
    return [one for one in values if not math.isnan(one)]


def _transfer(
    model: nn.Module,
    others: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    bounds: Bounds | None,
) -> float:
    if not others:
        return math.nan
    with ExitStack() as stack:
        for other in others.values():
            stack.enter_context(preserved(other))
        found = other_attacks.transfer_beats(model, others, images, labels, attack, bounds)
    return max(_known(found.values()), default=math.nan)
