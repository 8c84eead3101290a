"""An attack on the examples of two tensors, without files or Lightning's Trainer."""

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lit_intriguing.attacks import Attack, Criterion, Goal, RandomTargets, Targeted
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.examples import Examples, blank, joined
from lit_intriguing.attacks.watch import Watch
from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.checks import check_whole
from lit_intriguing.isolation import chunk_randomness
from lit_intriguing.splice import INPUT, Splice, activations, tail
from lit_intriguing.types import UNBOUNDED, Bounds, Perturbation

CHUNK = 1024
"""Examples attacked, and written, at once."""


def attack_tensors(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    *,
    goal: Goal | None = None,
    bounds: Bounds | None = None,
    layer: str = INPUT,
    only_correct: bool = True,
    seed: int = 0,
    chunk: int = CHUNK,
    progress: bool = False,
) -> Examples:
    """Attack the examples of two tensors; `lightning attack` gives the same examples of a split.

    Args:
        model: Maps images to logits `(N, C)`; put into evaluation mode meanwhile.
        attack: The search.
        images: `(N, *S)`, N at least 1, on the model's device.
        labels: True labels, int `(N,)`.
        goal: Sets the criterion; random wrong targets where None.
        bounds: Of what is attacked; where None [0, 1] for images, none for a hidden layer.
        layer: Name of the submodule whose output is attacked; empty for the images.
        only_correct: Leave out examples that the model misclassifies anyway.
        seed: Of targets and attack.
        chunk: Examples at once. Each chunk has random numbers of its own: another size gives other
            targets.
        progress: Show a bar on standard error.

    Returns:
        The examples, on the CPU.

    Raises:
        ValueError: No examples, labels that are no classes of the model, images that are no floats
            or leave the bounds.
        UserError: The model has no such layer, or returns no logits.
    """
    check_whole("attack_tensors", 0, seed=seed)
    check_whole("attack_tensors", 1, chunk=chunk)
    if len(images) == 0:
        raise ValueError("nothing to attack: 0 examples.")
    starts = range(0, len(images), chunk)
    parts = []
    for index, start in enumerate(tqdm(starts, "Attack", disable=not progress, unit="chunk")):
        part = slice(start, start + chunk)
        with chunk_randomness(seed, index) as generator:
            found = attack_chunk(
                model, attack, images[part], labels[part], generator,
                goal=goal, bounds=bounds, layer=layer, only_correct=only_correct,
            )  # fmt: skip
        parts.append(found.columns())
    return Examples.of(joined(parts, len(images)))


def attack_chunk(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    goal: Goal | None = None,
    bounds: Bounds | None = None,
    layer: str = INPUT,
    only_correct: bool = True,
    watch: Watch | None = None,
) -> Examples:
    """Attack one chunk; arguments and errors as for `attack_tensors`.

    A `watch` looks on; the examples are the same. Its traces have the numbers of the images.
    """
    _check_kinds(images, labels)
    if bounds is None:
        bounds = Bounds() if layer == INPUT else UNBOUNDED
    with preserved(model), grad_island():
        images, labels = ordinary(images), ordinary(labels).long()
        logits, clean = _logits_and_point(model, layer, images)
        check_inside(clean, bounds)  # also of examples that are not attacked
        _check_classes(labels, logits)
        predictions = logits.argmax(1)
        # Drawn for all examples: `only_correct` does not change the targets of the others.
        goal = goal or RandomTargets()
        criterion = goal(labels, logits, generator)
        attacked = ~goal.left_out(labels, predictions)
        if only_correct:
            attacked &= predictions == labels
        (indices,) = attacked.nonzero(as_tuple=True)
        upper = tail(model, layer, images[indices])
        made = attack(
            upper, clean[indices], criterion.select(indices),
            bounds=bounds, generator=generator, watch=watch,
        )  # fmt: skip
        if watch is not None:
            watch.numbers = indices
        adversarial_predictions = predictions.clone()
        if len(indices):
            with torch.no_grad():
                adversarial_predictions[indices] = upper(made.adversarial).argmax(1)
    return _examples(clean, labels, criterion, predictions, adversarial_predictions, attacked, made)


def _logits_and_point(model: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits `(N, C)`, and the tensor `(N, *S)` that is attacked."""
    if layer == INPUT:
        with torch.no_grad():
            return tail(model, INPUT, images)(images), images
    splice = Splice(model, [layer])
    try:
        logits, found = activations(model, splice, [layer], images)
    finally:
        splice.remove()
    return logits.detach(), found[layer].detach()


def _examples(
    clean: Tensor,
    labels: Tensor,
    criterion: Criterion,
    predictions: Tensor,
    adversarial_predictions: Tensor,
    attacked: Tensor,
    made: Perturbation,
) -> Examples:
    def spread(base: Tensor, values: Tensor) -> Tensor:
        base[attacked] = values.to(base)
        return base

    targeted = isinstance(criterion, Targeted)
    return Examples(
        clean=clean,
        adversarial=spread(clean.clone(), made.adversarial),
        labels=labels,
        targets=criterion.labels if targeted else torch.full_like(labels, -1),
        predictions=predictions,
        adversarial_predictions=adversarial_predictions,
        attacked=attacked,
        success=spread(torch.zeros_like(attacked), made.success),
        distortion=spread(clean.new_zeros(len(clean)), made.distortion),
        queries=spread(torch.zeros_like(labels), made.queries),
        info={
            name: spread(blank(len(clean), value), value)
            for name, value in made.info.items()
            if value.shape[:1] == made.success.shape
        },
    )


def _check_kinds(images: Tensor, labels: Tensor) -> None:
    if not images.is_floating_point():
        raise ValueError(
            f"The images are {images.dtype}: let the data convert them to floats, such as pixels "
            "in [0, 1]."
        )
    if labels.ndim != 1 or labels.is_floating_point() or len(labels) != len(images):
        raise ValueError(
            f"An attack needs the true label of each example, integers of shape ({len(images)},); "
            f"the data has {labels.dtype} of shape {tuple(labels.shape)}."
        )


def _check_classes(labels: Tensor, logits: Tensor) -> None:
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= logits.shape[1]:
        raise ValueError(
            f"The labels range from {least} to {most}, but the model has {logits.shape[1]} "
            f"classes, 0 to {logits.shape[1] - 1}."
        )
