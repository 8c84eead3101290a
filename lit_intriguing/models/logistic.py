"""A network of tanh units as the network of logistic units that it is."""

from typing import Any

from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.isolation import own_randomness
from lit_intriguing.models.classifier import Classifier


def logistic_from_tanh(network: Classifier) -> Classifier:
    """Return the network of logistic sigmoids that computes what a network of tanh units does.

    As `tanh(u) = 2 s(2u) - 1`, the layer `tanh(W x + c)` over the input has the logistic units
    `s(2 W x + 2 c)`, one over a hidden layer `b = 2 s - 1` has `s(4 W s + 2 (c - W 1))`, and the
    logits are `2 W s + c - W 1`. Training is easier in tanh, whose mean is near zero (LeCun et al.
    1998, *Efficient BackProp*, section 4.4).

    Args:
        network: Of `torch.nn.Tanh` units, with biases. Dropout, which only training knows, and a
            frozen encoder are left behind; a mean that it subtracts moves into the first bias.

    Returns:
        A network of the same widths in evaluation mode, with weights of its own; its logits differ
        by rounding alone.

    Raises:
        UserError: If it is another module, or one with a `forward` or units of its own, or there
            are no biases.

    Examples:
        >>> tanh = Classifier((3, 4, 2), activation=nn.Tanh)
        >>> x = Tensor([[0.1, 0.2, 0.3]])
        >>> (logistic_from_tanh(tanh)(x) - tanh(x)).abs().max().item() < 1e-6
        True
    """
    if not isinstance(network, Classifier):
        raise UserError(f"only a Classifier can be made logistic, not a {type(network).__name__}")
    if type(network).forward is not Classifier.forward:
        raise UserError(
            f"{type(network).__name__} has a forward of its own, which a Classifier of logistic "
            "units does not have"
        )
    layers = [network.get_submodule(f"hidden{i}") for i in range(1, len(network.widths) - 1)]
    kinds = [layer[1] for layer in layers if isinstance(layer, nn.Sequential)]
    if len(kinds) != len(layers) or not all(type(kind) is nn.Tanh for kind in kinds):
        raise UserError("only a network of torch.nn.Tanh units can be made one of logistic units")
    linears: list[Any] = [*(layer.get_submodule("0") for layer in layers), network.output]
    if any(linear.bias is None for linear in linears):
        raise UserError("the network has no biases, which logistic units need: use bias=True")
    with own_randomness(0):  # a network that is made draws its first weights
        made = Classifier(network.widths, activation=nn.Sigmoid)
    made.to(network.output.weight)
    mean = network.centring.mean if hasattr(network, "centring") else None
    targets = [made.get_submodule(f"hidden{i}.0") for i in range(1, len(layers) + 1)]
    for i, (target, linear) in enumerate(zip([*targets, made.output], linears, strict=True)):
        weight, bias = _over_inputs(linear, mean) if i == 0 else _over_logistic_units(linear)
        scale = 2 if i < len(layers) else 1
        target.load_state_dict({"weight": scale * weight, "bias": scale * bias})
    return made.eval()


def _over_inputs(linear: nn.Linear, mean: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weight and bias, in double precision, of the same map with the mean in its bias."""
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    return weight, bias if mean is None else bias - weight @ mean.double()


def _over_logistic_units(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the same map of `s`, where `2 s - 1` are the tanh units."""
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    return 2 * weight, bias - weight.sum(1)
