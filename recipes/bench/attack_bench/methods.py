"""The attacks compared, ours and peers', behind one signature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.models import Classifier

from . import convex, scipy_loop
from .counted import Counted
from .images import Problems

Search = Callable[[Counted, Problems, int], Tensor]
"""Takes a network, problems and the images of a batch to examples `(N, *S)`."""


class NotApplicableError(Exception):
    """The method is for other networks."""


@dataclass(frozen=True)
class Method:
    """An attack with its settings.

    Attributes:
        load: Imports what it needs and returns the search.
        slow: Whether it gets a few of the images and runs once.
        single: Whether it takes an image at a time.
        counted: Whether it asks the network for gradients.
    """

    load: Callable[[], Search]
    slow: bool = False
    single: bool = False
    counted: bool = True


def ours(mode: str) -> Search:
    """Return this package's attack in a mode; it refills its batch by itself."""
    from lit_intriguing.attacks import BoxLBFGS, Targeted

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        attack = BoxLBFGS(mode=mode, batch_size=batch, progress=False)
        return attack(model, problems.x, Targeted(problems.targets)).adversarial

    return search


def in_batches(attack: Callable[[Counted, Problems], Tensor]) -> Search:
    """Return a search that hands an attack one batch after the other."""

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        return torch.cat([attack(model, part).detach() for part in problems.split(batch)])

    return search


def from_adversarial_library(name: str, **settings: object) -> Search:
    """Return an attack of adversarial-library."""
    import adv_lib.attacks

    function = getattr(adv_lib.attacks, name)
    return in_batches(
        lambda model, part: function(model, part.x, part.targets, targeted=True, **settings)
    )


def from_foolbox(name: str, **settings: object) -> Search:
    """Return an attack of foolbox 3."""
    import foolbox

    attack = getattr(foolbox.attacks, name)(**settings)

    def run(model: Counted, part: Problems) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=part.x.device)
        criterion = foolbox.criteria.TargetedMisclassification(part.targets)
        found: Tensor = attack(wrapped, part.x, criterion, epsilons=None)[0]
        return found

    return in_batches(run)


def one_by_one(squared: bool) -> Search:
    """Return SciPy's L-BFGS-B in a loop over the images."""

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        double = model.in_double()
        rows = [
            scipy_loop.attack(
                double,
                image,
                int(target),
                lambda x, target=target: bool(model.reaches(x.unsqueeze(0), target)),
                squared=squared,
            )
            for image, target in zip(problems.x, problems.targets, strict=True)
        ]
        return torch.stack(rows)

    return search


def exact() -> Search:
    """Return the convex programme for softmax regression."""

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        if not isinstance(model.network, Classifier) or len(model.network.widths) != 2:
            raise NotApplicableError("only for softmax regression, fc10")
        layer = model.network.output
        weight, bias = (p.detach().double().cpu().numpy() for p in (layer.weight, layer.bias))
        images = problems.x.flatten(1).double().cpu().numpy()
        rows = [
            torch.from_numpy(convex.nearest(weight, bias, image, target).x)
            for image, target in zip(images, problems.targets.tolist(), strict=True)
        ]
        return torch.stack(rows).view(problems.x.shape).to(problems.x.device)

    return search


METHODS = {
    "fast": Method(lambda: ours("fast")),
    "paper": Method(lambda: ours("paper")),
    "scipy": Method(lambda: one_by_one(squared=False), slow=True, single=True),
    "scipy-squared": Method(lambda: one_by_one(squared=True), slow=True, single=True),
    "ddn100": Method(lambda: from_adversarial_library("ddn", steps=100, levels=None)),
    "ddn1000": Method(lambda: from_adversarial_library("ddn", steps=1000, levels=None)),
    "pdgd500": Method(lambda: from_adversarial_library("pdgd", num_steps=500)),
    "alma1000": Method(lambda: from_adversarial_library("alma", num_steps=1000)),
    "fmn100": Method(lambda: from_adversarial_library("fmn", norm=2, steps=100)),
    "cw9000": Method(
        lambda: from_adversarial_library("carlini_wagner_l2", max_iterations=1000), slow=True
    ),
    "foolbox-ddn100": Method(lambda: from_foolbox("DDNAttack", steps=100)),
    "foolbox-cw9000": Method(lambda: from_foolbox("L2CarliniWagnerAttack", steps=1000), slow=True),
    "exact": Method(exact, counted=False),
}
REFERENCE, EXACT = "pdgd500", "exact"
EXTRAS = {"adv_lib": "adversarial-library", "foolbox": "foolbox"}
