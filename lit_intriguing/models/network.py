"""Any torch module on the command line."""

from torch import Tensor, nn

from lit_intriguing.data_folder import found_file
from lit_intriguing.metrics import ErrorRate
from lit_intriguing.models.described import Described
from lit_intriguing.models.weights import load_weights, read_checkpoint


class Network(Described):
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
        if weights is not None:
            path = found_file(weights)
            load_weights(network, read_checkpoint(path), path)
        self.val_error = ErrorRate()
        self.test_error = ErrorRate()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of inputs `(N, *S)`."""
        logits: Tensor = self.network(x)
        return logits

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self._count("val/error", self.val_error, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self._count("test/error", self.test_error, batch)

    def _count(self, name: str, metric: ErrorRate, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        metric.update(self(x), y)
        self.log(name, metric, on_step=False, on_epoch=True, prog_bar=True)
