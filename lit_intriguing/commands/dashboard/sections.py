"""The sections of a dashboard, by the callbacks of a run: each shows what its callback logs."""

from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import Callback

from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    LipschitzMonitor,
    LipschitzPenalty,
    RobustnessEvaluation,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.callbacks.lipschitz_monitor import NETWORK
from lit_intriguing.callbacks.robustness_evaluation import TEST
from lit_intriguing.commands.dashboard.panels import (
    Lines,
    Panel,
    Picture,
    Rows,
    Section,
    escaped,
    named,
    under,
    without_ending,
)
from lit_intriguing.pools.measures import measure_key
from lit_intriguing.robustness.summary import CERTIFIED

STAGES = "(train|val|valid|validation|test)"
"""Of a module's own scalars, as most modules name them."""

ESTIMATE = "estimate"
"""How the names of estimates end; those of bounds do not."""

SECONDS = "seconds"
"""How the names of what a measurement took end."""


def sections(callbacks: Sequence[Callback], labels: bool = True) -> list[Section]:
    """Return a section for training, and one for each callback that logs.

    Args:
        callbacks: Of a run; those that are not known are passed over.
        labels: Whether the run has class labels; else losses stand for errors.
    """
    found = [_training(callbacks)]
    for callback in callbacks:
        for kind, make in _MAKERS.items():
            if isinstance(callback, kind):
                found.append(make(callback, labels))
    return found


def _training(callbacks: Sequence[Callback]) -> Section:
    panels = [
        Lines("loss", f"^{STAGES}[/_](.*[/_])?loss([/_].*)?$"),
        Lines("error, accuracy", f"^{STAGES}[/_](.*[/_])?(error|err|acc|accuracy)([/_].*)?$"),
    ]
    # By its name: Lightning has it in two packages.
    if any(type(one).__name__ == "LearningRateMonitor" for one in callbacks):
        panels.append(Lines("learning rate", "^lr-"))
    return Section("Training", "What the module itself logs.", tuple(panels))


def _adversarial(callback: AdversarialTraining, labels: bool) -> Section:
    titles = {
        "success": "new examples that reach their goal, share",
        "error": "error on the examples in the batch",
        "loss": "loss on them, and on clean ones",
        "distortion": "distortion of new examples (RMS)",
        "age": "age of the pool's examples, steps",
    }
    if not labels:
        del titles["success"], titles["error"]
    # `.+` in the place of the layer's name: a pattern of all layers.
    panels = [
        Lines(title, f"^{measure_key('.+', what)}{'(_clean)?' if what == 'loss' else ''}$")
        for what, title in titles.items()
    ]
    panels.append(Lines("time spent on making examples, share", named("adversarial/generating")))
    text = "The pools of adversarial examples of each layer, which are mixed into training."
    return Section("Adversarial training", text, tuple(panels))


def _examples(callback: AdversarialExamples, labels: bool) -> Section:
    name = callback.name
    reached = (
        Lines("examples that reach their goal, share", named(f"{name}/success"))
        if labels
        else Lines("loss, clean and adversarial", named(f"{name}/loss_clean", f"{name}/loss"))
    )
    moved = named(f"{name}/distortion", f"{name}/distortion_median")
    watched = Picture("on the way through the attack", f"{name}/watch/figure")
    panels: tuple[Panel, ...] = (
        reached,
        Lines("distortion of the successful ones (RMS)", moved),
        Picture("clean, difference, adversarial", f"{name}/figure"),
        *([watched] if callback.watch and labels else []),
        Rows("each example", f"{name}/table"),
        _cost(name),
    )
    text = "The same few examples, attacked again and again while the network trains."
    return Section(_titled("Adversarial examples", name, "examples"), text, panels)


def _transfer(callback: TransferEvaluation, labels: bool) -> Section:
    name = callback.name
    own, others = "success of the attack", "error on others' examples (from), of others (to)"
    scalars = f"{name}/success"
    if not labels:
        own, others = "loss, clean and adversarial", "increase of the loss by others' examples"
        scalars = f"{name}/loss"
    panels = (
        Lines(own, named(scalars) if labels else named(scalars, f"{scalars}_clean")),
        Lines(others, f"^{escaped(name)}/(from|to)/.+$"),
        Lines("distortion (RMS)", named(f"{name}/distortion")),
        Picture("the matrix, and over the run", f"{name}/figure"),
        Rows("the matrix", f"{name}/table"),
        _cost(name),
    )
    text = "How adversarial examples made for one network, or one step, fool others."
    return Section(_titled("Transfer", name, "transfer"), text, panels)


def _robustness(callback: RobustnessEvaluation, labels: bool) -> Section:
    name = escaped(callback.name)
    size = f"({'|'.join(callback.sizes)})_[0-9.e+-]+"
    at_test = f"({TEST}/)?"
    panels: tuple[Panel, ...] = (
        Lines("error, clean and in the worst case", f"^{name}/{at_test}(clean|{size})$"),
        Lines("error that bounds leave possible", f"^{name}/{at_test}{CERTIFIED}/{size}$"),
        *(
            [Lines("error by attack", f"^{name}/{at_test}({'|'.join(callback.attacks)})/{size}$")]
            if len(callback.attacks) > 1
            else []
        ),
        Lines("error of the worst class", f"^{name}/{at_test}{size}_worst_class$"),
        Lines("quantiles of the minimal distance", f"^{name}/{at_test}[a-z0-9]+_q[0-9]+$"),
        Lines("gradient evaluations an example", f"^{name}/{at_test}gradients$"),
        Picture("error against size", f"{callback.name}/figure"),
        Rows("error against size", f"{callback.name}/table"),
        _cost(callback.name, at_test),
    )
    text = "Error under attack against the size of the perturbation, and what is certified."
    return Section(_titled("Robustness", callback.name, "robustness"), text, panels)


def _lipschitz(callback: LipschitzMonitor, labels: bool) -> Section:
    name = callback.name
    network = escaped(f"{name}/{NETWORK}")
    panels = (
        Lines("network: certified bounds", f"^{network}(_joint)?$", log=True),
        Lines("all certified bounds", without_ending(name, ESTIMATE, SECONDS), log=True),
        Lines("estimates between them", under(name, f"_{ESTIMATE}"), log=True),
        Picture("certified bounds", f"{name}/figure"),
        Rows("certified bounds", f"{name}/table"),
        _cost(name),
    )
    text = "Upper bounds of the Lipschitz constants (L2) of the layers and of the whole network."
    return Section(_titled("Lipschitz constants", name, "lipschitz"), text, panels)


def _penalty(callback: LipschitzPenalty, labels: bool) -> Section:
    panels = (
        Lines("penalty", "^lipschitz_penalty$"),
        Lines("norms of the layers", under("lipschitz_penalty_norm", "")),
    )
    return Section("Lipschitz penalty", "What is added to the loss.", panels)


def _units(callback: UnitAnalysis, labels: bool) -> Section:
    name = callback.name
    panels = (
        Lines("effect, with its 95% interval", under(name, "/effect(_low|_high)?")),
        Lines("p of the mean, and of the best tenth", under(name, "/(top_tenth_)?p")),
        Picture("effects", f"{name}/figure"),
        Picture("effects over the run", f"{name}/history/figure"),
        Rows("effects", f"{name}/table"),
        _cost(name),
    )
    text = "Whether units carry more meaning than random directions, layer by layer."
    return Section(_titled("Units", name, "units"), text, panels)


def _cost(name: str, also: str = "(estimate_)?") -> Lines:
    return Lines("seconds that a measurement took", f"^{escaped(name)}/{also}{SECONDS}$")


def _titled(title: str, name: str, usual: str) -> str:
    """Add a callback's name, where it is not the usual one."""
    return title if name == usual else f"{title}: {name}"


_MAKERS: dict[type[Callback], Callable[[Any, bool], Section]] = {
    AdversarialTraining: _adversarial,
    AdversarialExamples: _examples,
    TransferEvaluation: _transfer,
    RobustnessEvaluation: _robustness,
    LipschitzMonitor: _lipschitz,
    LipschitzPenalty: _penalty,
    UnitAnalysis: _units,
}
