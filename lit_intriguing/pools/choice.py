"""How examples are made and how they join, chosen by what the host's step is seen to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from lit_intriguing.attacks import Goal, HostLoss, RandomTargets
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError, BatchKeys, is_inputs
from lit_intriguing.hosts.logits import Output
from lit_intriguing.hosts.paths import PathError, follow
from lit_intriguing.hosts.whole_rows import RowPlaces, row_places
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.trial import Findings
from lit_intriguing.schemes import Scheme
from lit_intriguing.splice import INPUT, kind


@dataclass(frozen=True)
class MixingOptions:
    """What the user says of the host; see `AdversarialTraining`."""

    keep_out: bool | None
    loss: nn.Module | None
    model: str | None
    output: Output | None
    keys: BatchKeys
    scheme: Scheme | None = None


@dataclass(frozen=True)
class Choice:
    """What was chosen for a run.

    Attributes:
        places: Where the rows of a batch are; None where a function makes a new tensor.
        keep_out: Whether the examples stay out of the host's batch.
        goal: Of the layers that have none.
        own_forward: Whether they go through the model alone, with a loss of logits and labels.
        why: Why not random targets in the host's batch; None if they are.
    """

    places: RowPlaces | None
    keep_out: bool
    goal: Goal
    own_forward: bool = False
    why: str | None = None


@dataclass(frozen=True)
class FoundRows:
    """Where the rows of a batch are.

    Attributes:
        keys: Where inputs and class labels are; None where there are none.
        places: Where whole rows are; None where a function makes a new tensor.
        problem: What is the matter where one of both is None.
    """

    keys: BatchKeys | None
    places: RowPlaces | None
    problem: str | None = None


def find_rows(batch: Any, keys: BatchKeys) -> FoundRows:
    """Return where a batch's rows are.

    Args:
        batch: The host's batch.
        keys: What the user says of it.

    Raises:
        BatchError: If nothing is where the user says, or no tensor can be the inputs.
    """
    for name, place in (("inputs", keys.inputs), ("labels", keys.labels)):
        _check_there(name, place, batch)
    try:
        found = keys.resolve(batch)
    except BatchError as error:
        return FoundRows(None, row_places(batch, keys.inputs, None), str(error))
    try:
        return FoundRows(found, row_places(batch, found.inputs, found.labels))
    except BatchError as error:
        return FoundRows(found, None, str(error))


def check_inputs(places: RowPlaces, batch: Any, layers: Mapping[str, PerturbedLayer]) -> None:
    """Refuse to perturb inputs that are not continuous.

    Raises:
        UserError: With what to do.
    """
    inputs = places.at(batch, places.inputs)
    if INPUT in layers and not is_inputs(inputs):
        raise UserError(
            f"The inputs are {kind(inputs)}, which has no gradient. Attack the output of a layer, "
            'such as the embedding: AdversarialTraining({"<layer>": ...}), convert them to '
            "floating point, or name other inputs by inputs=<key or position>."
        )


def choose(
    findings: Findings,
    layers: Mapping[str, PerturbedLayer],
    places: RowPlaces,
    keep_out: bool | None,
) -> Choice:
    """Choose by what a trial showed.

    Args:
        findings: Of a trial.
        layers: How each layer is attacked.
        places: Where the rows are.
        keep_out: What the user says.

    Raises:
        UserError: If what the user asks for cannot be done.
    """
    classes, joining = findings.no_classes, findings.no_joining
    given = [plan.goal for plan in layers.values()]
    if classes and any(goal is not None and not isinstance(goal, HostLoss) for goal in given):
        raise UserError(
            f"The goal given needs class labels and logits. {_as_sentence(classes)} Or leave goal "
            "out, or set goal=HostLoss()."
        )
    if keep_out is False and findings.mixed:
        raise UserError(f"Examples cannot join the batch: {joining}. Leave keep_out out.")
    at_layer = any(plan.at_layer for plan in layers.values())
    if keep_out is None and findings.mixed and at_layer:
        raise UserError(f"Examples cannot join at a layer: {joining}. Set at_layer=False.")
    out = bool(joining) and not at_layer if keep_out is None else keep_out
    goal: Goal = HostLoss() if classes else RandomTargets()
    reasons = [classes if None in given else None, joining if keep_out is None and out else None]
    why = "; ".join(as_clause(one) for one in reasons if one) or None
    return Choice(places, out, goal, why=why)


def choose_by_hand(
    found: FoundRows, model_is_known: bool, layers: Mapping[str, PerturbedLayer]
) -> Choice:
    """Choose for manual optimisation, where the step cannot be called aside.

    Raises:
        UserError: If what the user asks for cannot be done.
    """
    if found.places is None:
        raise BatchError(str(found.problem))
    classes = found.keys is not None and model_is_known
    if not classes and any(plan.goal and not plan.aims_at_loss for plan in layers.values()):
        raise UserError(f"The goal given needs class labels and logits. {found.problem}")
    goal: Goal = RandomTargets() if classes else HostLoss()
    for name, plan in settled(layers, goal).items():
        if plan.aims_at_loss and not plan.keeps_gradient:
            raise UserError(
                f"Layer {name!r}: in manual optimisation the step cannot be called again, so that "
                "HostLoss() takes one gradient step: GradientAttack(eps), fresh=False."
            )
    why = None if classes or found.problem is None else as_clause(found.problem)
    return Choice(found.places, False, goal, why=why)


def choose_own_forward(found: FoundRows, keep_out: bool | None) -> Choice:
    """Choose a forward pass of the model alone.

    Raises:
        BatchError: If there are no labels, or the examples are to join a batch that they cannot.
    """
    if found.keys is None or (found.places is None and keep_out is False):
        raise BatchError(str(found.problem))
    why = None if found.problem is None else as_clause(found.problem)
    return Choice(found.places, True, RandomTargets(), own_forward=True, why=why)


def described(
    choice: Choice, layers: Mapping[str, PerturbedLayer], scheme: Scheme | None = None
) -> str:
    """Return one sentence on a choice, for the log."""
    goals = {repr(plan.goal or choice.goal) for plan in layers.values()}
    where = "in a call of training_step of their own" if choice.keep_out else "in the host's batch"
    if choice.own_forward:
        where = "in a forward of the model of their own"
    if scheme is not None:
        where = f"of each whole batch, by {scheme}"
    why = f", because {choice.why}" if choice.why else ""
    return f"AdversarialTraining: examples toward {', '.join(sorted(goals))}, {where}{why}."


def for_scheme(
    scheme: Scheme, findings: Findings, found: FoundRows, layers: Mapping[str, PerturbedLayer]
) -> Findings:
    """Return what a trial showed, as it concerns a scheme.

    A scheme without labels needs none in the batch. The model is then taken at its word: without
    labels it is not verified that the step computes the same logits.

    Raises:
        UserError: If a scheme of logits has no class labels and logits, with what to do.
    """
    own_goal = all(plan.goal in (None, scheme.default_goal(True)) for plan in layers.values())
    if scheme.adds and not scheme.uses_labels and found.keys is None and own_goal:
        return replace(findings, no_classes=None)
    if scheme.adds and findings.no_classes is not None:
        raise UserError(
            f"scheme={type(scheme).__name__}() needs class labels and logits. "
            f"{_as_sentence(findings.no_classes)} scheme=ExamplesAlone() trains on examples "
            "without them."
        )
    return findings


def settled(layers: Mapping[str, PerturbedLayer], goal: Goal) -> dict[str, PerturbedLayer]:
    """Return the layers, those without a goal with this one.

    Raises:
        UserError: If a layer's attack cannot have it.
    """
    try:
        return {
            name: plan if plan.goal is not None else replace(plan, goal=goal)
            for name, plan in layers.items()
        }
    except ValueError as error:
        raise UserError(
            f"The host has no class labels and logits to attack, so that the goal is a larger "
            f"loss. {error}"
        ) from error


def as_clause(message: str) -> str:
    """Return what a message says is the matter, without its advice, as a part of a sentence.

    >>> as_clause("The batch has no labels. Say where they are: labels=<key>.")
    'the batch has no labels'
    """
    first = message.split(". ")[0].removesuffix(".")
    is_name = first.partition(" ")[0] not in ("The", "A", "No")
    return first if is_name else first[:1].lower() + first[1:]


def _as_sentence(message: str) -> str:
    return message[:1].upper() + message[1:].removesuffix(".") + "."


def _check_there(name: str, place: Any, batch: Any) -> None:
    if place is None or callable(place):
        return
    try:
        follow(batch, place)
    except (PathError, TypeError) as error:
        raise BatchError(f"The batch has nothing at {name}={place!r}: {error}") from error
