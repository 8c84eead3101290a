"""How one layer is attacked and how its examples join the training."""

from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal

from lit_intriguing.attacks import Attack, Goal, GradientAttack, HostLoss, RandomTargets
from lit_intriguing.attacks.arguments import as_bounds
from lit_intriguing.checks import check_flags, check_whole
from lit_intriguing.hosts.paths import Key
from lit_intriguing.splice import INPUT
from lit_intriguing.types import UNBOUNDED, Bounds

_COUNTS = ("pool", "mix", "refresh", "every_n_steps")


@dataclass(frozen=True)
class PerturbedLayer:
    """What is generated for a layer, stored in its pool, and trained on.

    Attributes:
        attack: Makes the examples.
        weight: Weight of the mean loss on this layer's examples; the clean ones have weight 1.
        goal: What the examples are to reach; None for random targets, as in the paper, where the
            host has logits and class labels, and for a larger loss (`HostLoss`) elsewhere.
        bounds: The box that the perturbed tensor stays in, in its own units, also as a pair of
            numbers; None for no box.
        relative: What the attack's lengths are in units of. False: of the tensor itself. True: of
            the activation's spread, the root of the variance over the batch summed over the units;
            a layer of ReLUs escapes an absolute length by growing its activations. `"example"`: of
            each example's own L2 norm, so that a faint image is perturbed less than a bold one;
            for `GradientAttack` with one step.
        pool: Examples stored, each with all that its batch had for it.
        mix: Examples that join each step; fewer while the pool holds fewer, or fewer of the batch's
            shapes.
        refresh: Examples generated at a time, from the first ones of the current batch; never more
            than the batch has; with `HostLoss` those whose gradient is zero or not finite are left
            out. They replace a random part of a full pool.
        every_n_steps: Steps from one generation to the next; where layers take turns, turns of
            this layer.
        stale: For a hidden layer, whether its pool stores perturbed activations as they were when
            made (the paper's pool); else it stores inputs and perturbations, and each step computes
            the activation anew.
        shield: Whether the layers below get no gradient from this layer's examples, so that only
            the layers above are trained on them, as in the paper. Stale examples are always
            shielded.
        at_layer: Whether examples join the batch at the layer itself, not at the input: the layers
            below then do not run on them. Only for stale examples, and only if every tensor of the
            forward pass that meets the layer's output comes from that output alone (no skip
            connection around the layer). They then join also where the host's loss is no mean or
            sum over rows, and their weight is not exact there.
        mask: With `HostLoss`, where the entries are in the batch that say what may be perturbed:
            `(N, T)` for activations `(N, T, ...)`, such as `attention_mask`; zeros stay as they
            are. A key or a path, as for the inputs.
        per_token: With `HostLoss`, whether lengths are those of each `(N, T)` token of activations
            `(N, T, D)`, in place of each example's.
        max_length: L2 length, in the units of the attack's, at which a perturbation that a search
            has found is cut off; None for no limit. Minimal examples lie on the border to another
            class however far that is; shorter ones on the way there do less harm in training.
        anneal_to: Share of the length (`eps` of `GradientAttack`, or `max_length`) that is left at
            the end of the run: it goes there from 1 along a straight line, batch by batch; None
            keeps the length. The end is that of `max_epochs` or `max_steps`: a run that is stopped
            before, as by `EarlyStopping`, does not reach the share, and one that goes on with more
            epochs has the line of its new length. In manual optimisation with `max_steps` the end
            is estimated from the steps so far, and the line only roughly straight.

    Raises:
        ValueError: For a number out of range, or options that contradict each other.
    """

    attack: Attack
    weight: float = 1.0
    goal: Goal | None = None
    bounds: Bounds | None = None
    relative: bool | Literal["example"] = False
    pool: int = 2000
    mix: int = 200
    refresh: int = 200
    every_n_steps: int = 1
    stale: bool = True
    shield: bool = True
    at_layer: bool = False
    mask: Key | None = None
    per_token: bool = False
    max_length: float | None = None
    anneal_to: float | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        check_whole("PerturbedLayer", 1, **{name: getattr(self, name) for name in _COUNTS})
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight must be positive and finite, not {self.weight}.")
        if self.max_length is not None:
            self._check_max_length(self.max_length)
        if self.anneal_to is not None:
            self._check_anneal_to(self.anneal_to)
        for name in ("mix", "refresh"):
            if getattr(self, name) > self.pool:
                raise ValueError(f"{name}={getattr(self, name)} exceeds pool={self.pool} examples.")
        if self.aims_at_loss and self.attack.needs_border:
            raise ValueError(
                f"goal=HostLoss() has no border between right and wrong, which "
                f"{type(self.attack).__name__} searches for: use GradientAttack."
            )
        starts_at_clean = isinstance(self.attack, GradientAttack) and not self.attack.starts_beside
        if self.goal is not None and self.goal.flat_at_clean and starts_at_clean:
            raise ValueError(
                f"goal={self.goal!r} has no gradient at the clean example: give GradientAttack "
                "start_stddev=0.001 or random_start=True."
            )
        if self.goal is not None and not self.aims_at_loss and (self.mask or self.per_token):
            raise ValueError("mask and per_token are for goal=HostLoss().")
        if self.stale and not self.shield:
            raise ValueError(
                "stale=True stores activations, which carry no gradient to the layers below: "
                "shield=False needs stale=False."
            )
        if self.at_layer and not self.stale:
            raise ValueError(
                "at_layer=True needs stale=True: perturbations are added to activations that only "
                "a forward pass from the input gives."
            )

    def _check_max_length(self, length: float) -> None:
        number = isinstance(length, Real) and not isinstance(length, bool)
        if not number or not 0 < length < float("inf"):
            raise ValueError(
                f"PerturbedLayer: max_length must be positive and finite, not {length!r}."
            )
        if self.attack.ball_norm is not None or self.aims_at_loss:
            raise ValueError(
                "max_length is for attacks that search for the nearest example, such as BoxLBFGS: "
                f"the length of {type(self.attack).__name__} is its eps."
            )

    def _check_anneal_to(self, share: float) -> None:
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < float("inf"):
            raise ValueError(
                f"PerturbedLayer: anneal_to must be positive and finite, not {share!r}."
            )
        if not isinstance(self.attack, GradientAttack) and self.max_length is None:
            raise ValueError(
                "anneal_to is for the eps of GradientAttack, or for max_length where the attack "
                f"searches for the nearest example; not for {type(self.attack).__name__}."
            )

    def _check_kinds(self) -> None:
        if not isinstance(self.attack, Attack):
            raise ValueError(f"PerturbedLayer: attack must be an Attack, not {self.attack!r}.")
        if self.goal is not None and not isinstance(self.goal, Goal):
            raise ValueError(
                f"PerturbedLayer: goal must be a Goal such as RandomTargets(), not {self.goal!r}."
            )
        if self.bounds is not None:
            object.__setattr__(self, "bounds", as_bounds(self.bounds))
        for name in ("weight", *_COUNTS):
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise ValueError(f"PerturbedLayer: {name} must be a number, not {value!r}.")
        flags = ("stale", "shield", "at_layer", "per_token")
        check_flags("PerturbedLayer", **{name: getattr(self, name) for name in flags})
        self._check_relative()

    def _check_relative(self) -> None:
        if self.relative != "example" and not isinstance(self.relative, bool):
            raise ValueError(
                f"PerturbedLayer: relative must be True, False or 'example', not {self.relative!r}."
            )
        if self.relative == "example" and not self.shares_clean_gradient:
            raise ValueError(
                "PerturbedLayer: relative='example' is for GradientAttack with one step, not for "
                f"{self.attack!r}: take steps=1, a step_size of at most eps, no random_start and "
                "no start_stddev; or relative=True."
            )

    def annealed(self, progress: float) -> "PerturbedLayer":
        """Return the same with the length of that moment.

        Args:
            progress: Share of the run that is done, in [0, 1].
        """
        if self.anneal_to is None:
            return self
        share = 1 + (self.anneal_to - 1) * progress
        if isinstance(self.attack, GradientAttack):
            return replace(self, attack=self.attack.at(self.attack.eps * share, UNBOUNDED))
        assert self.max_length is not None
        return replace(self, max_length=self.max_length * share)

    def check(self, layer: str) -> None:
        """Refuse options that make no sense for the layer of that name.

        Raises:
            ValueError: If examples of the input are to join at a layer.
        """
        if layer == INPUT and (self.at_layer or not self.shield):
            raise ValueError(
                "For the input (layer '') at_layer and shield have no meaning: leave them out."
            )

    @property
    def aim(self) -> Goal:
        """The goal, given or by default."""
        return self.goal or RandomTargets()

    @property
    def aims_at_loss(self) -> bool:
        """Whether the goal is a larger loss of the host."""
        return isinstance(self.goal, HostLoss)

    @property
    def keeps_gradient(self) -> bool:
        """Whether the gradient that the host's own backward pass leaves is all that is needed."""
        fresh = isinstance(self.goal, HostLoss) and self.goal.fresh
        return self.aims_at_loss and self.shares_clean_gradient and not fresh

    @property
    def shares_clean_gradient(self) -> bool:
        """Whether one clean forward and backward is all that the attack needs."""
        return isinstance(self.attack, GradientAttack) and self.attack.needs_one_clean_gradient
