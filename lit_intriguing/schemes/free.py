"""Free adversarial training: the step's own gradient moves the perturbation."""

from typing import ClassVar

from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Goal, HostLoss
from lit_intriguing.checks import check_whole
from lit_intriguing.schemes.scheme import Scheme


@checked_arguments
class Free(Scheme):
    """Each batch is trained on several times, perturbed further each time (Shafahi et al. 2019).

    The step runs on the examples alone. Its own backward pass gives the gradient that moves the
    perturbation, by one step of `GradientAttack(eps)`, projected on the ball; the next step starts
    from it, also on another batch (algorithm 1). So a step costs hardly more than without it.

    Of the loader's batches one in `replays` is taken and kept for that many steps, the others are
    passed over; in epoch e (from 0) these are the batches `k` with `k % replays == e % replays`, so
    that `replays` epochs take each batch of a fixed order once. `n` epochs are then `n / replays`
    passes over the data, in as many steps as before. At the end of an epoch a batch may get one
    step more or fewer.

    Args:
        replays: Steps on each batch, m in the paper; the authors take 8 for CIFAR-10.

    Raises:
        ValueError: If `replays` is less than 1.
    """

    in_place: ClassVar[bool] = True
    adds: ClassVar[bool] = False

    def __init__(self, replays: int = 8) -> None:
        check_whole("Free", 1, replays=replays)
        self.replays = replays

    def default_goal(self, classes: bool) -> Goal:
        """Return the host's loss, whose gradient the step leaves."""
        return HostLoss()

    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return zero, `()`."""
        return clean.new_zeros(())
