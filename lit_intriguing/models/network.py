"""Any torch module on the command line."""

from torch import Tensor, nn

from lit_intriguing.models.evaluated import Evaluated
from lit_intriguing.models.weights import load_file


class Network(Evaluated):
    """Any torch module, to be tested, attacked and bounded; it is not trained here.

    The module is the submodule `network`, so that its layers are `network.conv1` and so on. Logs
    `val/error` and `test/error`, fractions of wrong predictions, once an epoch.

    Args:
        network: The module, whose `forward` gives logits `(N, C)`: on the command line the class
            path of any module, or of a function that returns one, such as
            `torchvision.models.resnet18`.
        weights: File of its weights, also within `$LIT_INTRIGUING_DATA`: a state dict, or a
            checkpoint whose `state_dict` has the module's own names. If null, the weights that the
            module was made with.

    Raises:
        UserError: If there is no such file, or its weights are of another module.
    """

    only_at_start = ("weights",)

    def __init__(self, network: nn.Module, weights: str | None = None) -> None:
        super().__init__()
        self.remember(network=network)
        self.network = network
        load_file(network, weights)
        self.add_error_metrics()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of inputs `(N, *S)`."""
        logits: Tensor = self.network(x)
        return logits
