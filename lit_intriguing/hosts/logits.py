"""Which part of a LightningModule maps inputs to logits, and where its output holds them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.calling import call_with_inputs, keyword_of
from lit_intriguing.hosts.paths import PathError, follow, members
from lit_intriguing.private.of_lightning import same_class_for
from lit_intriguing.splice import kind, submodule

Output = int | str | Callable[[Any], Tensor]
"""Where an output holds its logits: key, index, field, attribute, a path of these, or a function.

Only a function is asked about an output that is a tensor; else that tensor holds the logits.
"""

_NAME = "logits"
"""What libraries call them: transformers, and torchvision's networks with auxiliary heads."""


def logits_model(pl_module: LightningModule, name: str | None = None) -> nn.Module:
    """Return the submodule of that name, or the module itself where it defines `forward`.

    Raises:
        UnknownLayerError: For an unknown name.
        UserError: If there is no name and the module has no `forward`.
    """
    if name is not None:
        return submodule(pl_module, name)
    if type(pl_module).forward is not same_class_for(pl_module, LightningModule).forward:
        return pl_module
    children = ", ".join(repr(child) for child, _ in pl_module.named_children())
    raise UserError(
        f"{type(pl_module).__name__} has no forward, so it is not known what maps inputs to "
        f"logits: name the submodule by model=<name>, one of {children}, as an argument of the "
        "callback, such as model='net'; or give the module a forward."
    )


class LogitsModel(nn.Module):
    """A host's model as a function from inputs `(N, *S)` to class logits `(N, C)`, C at least 2.

    Layers have their usual names.

    Args:
        model: The host's model, which may return more than logits, or one logit for each example.
        who: The callback, for messages.
        output: Where its output holds the logits; found if there is no doubt.

    Attributes:
        columns: Logits of each example, as the model gave them last; None before.
    """

    columns: int | None
    _keyword: str | None

    def __init__(self, model: nn.Module, who: str, output: Output | None = None) -> None:
        super().__init__()
        self.model, self.who, self.output = model, who, output
        self.columns = self._keyword = None

    def name_inputs(self, name: str | None) -> None:
        """Say how the inputs are called in the batch, for a `forward(**batch)`."""
        self._keyword = keyword_of(self.model, name)

    def get_submodule(self, target: str) -> nn.Module:
        """Return the model's own submodule."""
        return self.model.get_submodule(target)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits `(N, C)` of inputs `(N, *S)`.

        Raises:
            UserError: If the model cannot be called with the inputs alone, or its output does not
                hold logits where they should be.
        """
        output = call_with_inputs(self.model, x, self._keyword, self.who)
        found = logits_in(output, self.output)
        self.columns = columns(found)
        return class_logits(found)


def logits_in(output: Any, where: Output | None) -> Tensor:
    """Return the tensor of an output that holds the logits.

    Args:
        output: A tensor, or a mapping, sequence, dataclass or object that holds tensors.
        where: Given by the user, or None: what is named `logits`, or the only floating-point
            tensor of one or two dimensions.

    Raises:
        UserError: If there is no such tensor, or a doubt.
    """
    if callable(where):
        found = _asked(where, output)
    elif isinstance(output, Tensor):
        return output
    elif where is not None:
        try:
            found = follow(output, where)
        except PathError as error:
            raise UserError(
                f"The model's output has nothing at output={where!r}. {_holds(output)}"
            ) from error
    else:
        found = _found(output)
    if not isinstance(found, Tensor):
        raise UserError(
            f"The model's output has {kind(found)} at output={where!r}, not a tensor of logits. "
            f"{_holds(output)}"
        )
    return found


def columns(logits: Tensor) -> int:
    """Return the number of logits of each example; logits `(N,)` are one."""
    return 1 if logits.ndim == 1 else logits.shape[1] if logits.ndim == 2 else 0


def class_logits(logits: Tensor) -> Tensor:
    """Return logits of each class: of one logit `(N,)` or `(N, 1)`, those of labels 0 and 1.

    Their cross-entropy is the binary one of that logit.
    """
    if columns(logits) != 1:
        return logits
    one = logits.view(-1, 1)
    return torch.cat([torch.zeros_like(one), one], 1)


def _asked(where: Callable[[Any], Tensor], output: Any) -> object:
    try:
        return where(output)
    except Exception as error:
        raise UserError(
            f"The function output= failed on {kind(output)}, which the model returned: "
            f"{type(error).__name__}: {error}. A model may return a tensor in evaluation mode "
            "and more in training: let the function return a tensor as it is."
        ) from error


def _found(output: Any) -> object:
    there = members(output)
    if _NAME in there:
        return there[_NAME]
    likely = [
        one
        for one in there.values()
        if isinstance(one, Tensor) and one.is_floating_point() and one.ndim in (1, 2)
    ]
    if len(likely) != 1:
        raise UserError(
            f"The model returned {kind(output)}, and {len(likely)} of its entries could be the "
            f"logits. {_holds(output)}"
        )
    return likely[0]


def _holds(output: Any) -> str:
    there: Mapping[Any, object] = members(output)
    if not there:
        return "Say where they are by a function: output=<function of the model's output>."
    listed = ", ".join(f"{key!r}: {kind(one)}" for key, one in there.items())
    return f"It holds {listed}. Say which they are: output=<key or index, or a function>."
