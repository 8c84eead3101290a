"""The attacks compared, ours and peers', behind one signature."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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


def ours(
    mode: str,
    *,
    box: tuple[float, float] = (0.0, 1.0),
    logits: float = 1.0,
    attacks: str = "lit_intriguing.attacks",
) -> Search:
    """Return this package's attack in a mode; it refills its batch by itself.

    Args:
        mode: Of `BoxLBFGS`.
        box: Limits of the pixels that the attack sees; the network is told by `Seen`.
        logits: What the logits are multiplied by.
        attacks: The module that it comes from.
    """
    module = importlib.import_module(attacks)
    low, high = box

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        attack = module.BoxLBFGS(mode=mode, batch_size=batch, progress=False)
        goal = (
            module.Targeted(problems.targets)
            if problems.targeted
            else module.Untargeted(problems.labels)
        )
        seen = model if (box, logits) == ((0.0, 1.0), 1.0) else Seen(model, box, logits).eval()
        x = low + (high - low) * problems.x
        return (attack(seen, x, goal, bounds=box).adversarial - low) / (high - low)

    return search


class Seen(nn.Module):
    """A network on pixels in another box, its logits multiplied: the same problem, rewritten."""

    def __init__(self, network: nn.Module, box: tuple[float, float], logits: float) -> None:
        super().__init__()
        self.network, self.box, self.logits = network, box, logits

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of images `(N, *S)` in the box."""
        low, high = self.box
        logits: Tensor = self.logits * self.network((x - low) / (high - low))
        return logits


def in_batches(attack: Callable[[Counted, Problems], Tensor]) -> Search:
    """Return a search that hands an attack one batch after the other."""

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        return torch.cat([attack(model, part).detach() for part in problems.split(batch)])

    return search


def from_adversarial_library(name: str, *, targets: bool = True, **settings: object) -> Search:
    """Return an attack of adversarial-library.

    Args:
        name: Of its function.
        targets: Whether it can aim at targets; else it hands the images back unchanged.
        settings: Its arguments.
    """
    import adv_lib.attacks

    function = getattr(adv_lib.attacks, name)

    def run(model: Counted, part: Problems) -> Tensor:
        if part.targeted and not targets:
            raise NotApplicableError("only without targets")
        labels = part.targets if part.targeted else part.labels
        found: Tensor = function(model, part.x, labels, targeted=part.targeted, **settings)
        return found

    return in_batches(run)


def from_foolbox(name: str, **settings: object) -> Search:
    """Return an attack of foolbox 3."""
    import foolbox

    attack = getattr(foolbox.attacks, name)(**settings)

    def run(model: Counted, part: Problems) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=part.x.device)
        criterion = (
            foolbox.criteria.TargetedMisclassification(part.targets)
            if part.targeted
            else foolbox.criteria.Misclassification(part.labels)
        )
        found: Tensor = attack(wrapped, part.x, criterion, epsilons=None)[0]
        return found

    return in_batches(run)


def one_by_one(squared: bool) -> Search:
    """Return SciPy's L-BFGS-B in a loop over the images."""

    def search(model: Counted, problems: Problems, batch: int) -> Tensor:
        if not problems.targeted:
            raise NotApplicableError("only with targets")
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
        linear = isinstance(model.network, Classifier) and len(model.network.widths) == 2
        if not linear or not problems.targeted:
            raise NotApplicableError("only for softmax regression, fc10, with targets")
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
    "fast-box11": Method(lambda: ours("fast", box=(-1.0, 1.0))),
    "fast-box255": Method(lambda: ours("fast", box=(0.0, 255.0))),
    "fast-logits0.01": Method(lambda: ours("fast", logits=0.01)),
    "fast-logits100": Method(lambda: ours("fast", logits=100.0)),
    "paper-logits0.01": Method(lambda: ours("paper", logits=0.01)),
    "scipy": Method(lambda: one_by_one(squared=False), slow=True, single=True),
    "scipy-squared": Method(lambda: one_by_one(squared=True), slow=True, single=True),
    "ddn50": Method(lambda: from_adversarial_library("ddn", steps=50, levels=None)),
    "ddn100": Method(lambda: from_adversarial_library("ddn", steps=100, levels=None)),
    "ddn1000": Method(lambda: from_adversarial_library("ddn", steps=1000, levels=None)),
    "pdgd500": Method(lambda: from_adversarial_library("pdgd", num_steps=500)),
    "alma1000": Method(lambda: from_adversarial_library("alma", num_steps=1000)),
    "fmn100": Method(lambda: from_adversarial_library("fmn", norm=2, steps=100)),
    "sdf": Method(lambda: from_adversarial_library("sdf", targets=False)),
    "cw9000": Method(
        lambda: from_adversarial_library("carlini_wagner_l2", max_iterations=1000), slow=True
    ),
    "foolbox-ddn100": Method(lambda: from_foolbox("DDNAttack", steps=100)),
    "foolbox-cw9000": Method(lambda: from_foolbox("L2CarliniWagnerAttack", steps=1000), slow=True),
    "brendel-bethge": Method(lambda: from_foolbox("L2BrendelBethgeAttack"), slow=True),
    "exact": Method(exact, counted=False),
}
REFERENCE, EXACT = "pdgd500", "exact"
EXTRAS = {"adv_lib": "adversarial-library", "foolbox": "foolbox"}
