"""What is measured of the pools and their examples, seldom and on the device."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.pools.generation import Examples, Spliced
from lit_intriguing.pools.joining import Joined, PoolExamples
from lit_intriguing.pools.labels import is_class
from lit_intriguing.pools.step_clock import StepClock
from lit_intriguing.splice import INPUT


class Measures:
    """Measurements of each layer, made once after each report, so that training pays seldom.

    Attributes:
        examples_due: The layers whose next examples are to be measured.

    Args:
        layers: The layers' names.
        window: Steps in a whole round of generating.
    """

    def __init__(self, layers: Iterable[str], window: int = 1) -> None:
        self._layers = tuple(layers)
        self._values: dict[str, Tensor | float] = {}
        self.examples_due, self._logits_due = set(self._layers), set(self._layers)
        self._raised: set[str] = set()
        self._clock = StepClock(window)
        self._reported = False

    def examples(self, spliced: Spliced, x: Tensor, made: Mapping[str, Examples]) -> None:
        """Measure success and distortion of new examples, made of the first ones of `x`."""
        for name in self.examples_due & set(made):
            if made[name].criterion is not None:
                success = made[name].success(spliced, name, x[: len(made[name].clean)])
                self._values[measure_key(name, "success")] = success.float().mean()
            # Examples that met the goal as they were, or that nothing was found for, do not count.
            moved = ~made[name].unmoved()
            lengths = torch.where(moved, made[name].distortion(), 0.0)
            self._values[measure_key(name, "distortion")] = lengths.sum() / moved.sum().clamp(min=1)
        self.examples_due -= set(made)

    def raised(self, layer: str, clean: Tensor | None, perturbed: Tensor | None) -> None:
        """Measure the host's loss on new examples before and after, each `()` if known.

        From then on the layer's `loss` is that of new examples, to be compared with `loss_clean`.
        """
        if clean is not None and perturbed is not None:
            self._raised.add(layer)
            self._values[measure_key(layer, "loss_clean")] = clean.detach().float()
            self._values[measure_key(layer, "loss")] = perturbed.detach().float()

    def unusable(self, layer: str, usable: Tensor) -> None:
        """Measure the share of rows whose gradient is zero or not finite, of bool `(N,)`."""
        self._values[measure_key(layer, "without_gradient")] = 1 - usable.float().mean()

    def logits(self, joined: Joined, logits: Tensor) -> None:
        """Measure loss and error on each layer's examples that have a class.

        Args:
            joined: The step's examples.
            logits: `(N, C)`, detached.
        """
        if joined.labels is None:
            return
        for name in self._logits_due & set(joined.groups):
            z, labels = logits[joined.groups[name]], joined.labels[joined.groups[name]].long()
            known = is_class(labels, z)
            z, labels = z[known], labels[known]
            if name not in self._raised:
                self._values[measure_key(name, "loss")] = F.cross_entropy(z.float(), labels)
            self._values[measure_key(name, "error")] = (z.argmax(1) != labels).float().mean()
        self._logits_due -= set(joined.groups)

    def added(self, layer: str, loss: Tensor) -> None:
        """Measure what a scheme adds to the host's loss, `()`."""
        self._values[measure_key(layer, "added")] = loss.detach()

    def second_call(
        self, layer: str, loss: Tensor, logits: Tensor | None, drawn: PoolExamples
    ) -> None:
        """Measure the host's loss on a layer's examples, and the error where there are classes.

        Args:
            layer: The layer's name.
            loss: The host's, `()`.
            logits: `(N, C)`; None where there are no classes.
            drawn: The examples.
        """
        if layer not in self._logits_due:
            return
        if logits is None or "labels" not in drawn:
            if layer not in self._raised:
                self._values[measure_key(layer, "loss")] = loss.detach().float()
            self._logits_due.discard(layer)
            return
        group = {layer: slice(0, len(logits))}
        self.logits(Joined(drawn["inputs"], drawn["labels"], 0, group, {}), logits)

    def ages(self, ages: Mapping[str, Tensor]) -> None:
        """Record the mean age of each pool's examples, in steps."""
        self._values |= {measure_key(name, "age"): age.float() for name, age in ages.items()}

    def report(self) -> dict[str, Tensor | float]:
        """Return the last values by their logged names, and begin measuring anew."""
        share = self._clock.share()
        if share is not None:
            self._values["adversarial/generating"] = share
        self._measure_anew()
        self._reported = True
        return dict(self._values)

    def at_epoch_end(self) -> dict[str, Tensor | float]:
        """Return the last values likewise; measure anew if none were reported in this epoch."""
        share = self._clock.share_so_far()
        own = {} if share is None else {"adversarial/generating": share}
        if not self._reported:
            self._measure_anew()
        self._reported = False
        return {**self._values, **own}

    def _measure_anew(self) -> None:
        self.examples_due, self._logits_due = set(self._layers), set(self._layers)

    def start_step(self, device: torch.device) -> None:
        """Note the time."""
        self._clock.start(device)

    def end_step(self, device: torch.device) -> None:
        """Add the step's time."""
        self._clock.stop(device)

    def generating(self, device: torch.device) -> AbstractContextManager[None]:
        """Count the time inside as spent on making examples."""
        return self._clock.making(device)


def measure_key(layer: str, what: str) -> str:
    """Return the name under which something of a layer is logged.

    >>> measure_key("", "success"), measure_key("fc", "age")
    ('adversarial/input/success', 'adversarial/fc/age')
    """
    return f"adversarial/{'input' if layer == INPUT else layer}/{what}"
