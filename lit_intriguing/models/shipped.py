"""The trained networks that come with the package."""

from lightning.pytorch import LightningModule

from lit_intriguing import shipped_weights
from lit_intriguing.lookup import look_up
from lit_intriguing.models.weights import read_checkpoint


def pretrained(name: str) -> LightningModule:
    """Make a network with the weights that come with the package, in evaluation mode, on the CPU.

    `recipes/pretrained.md` says how they were trained and what their test errors are.

    Args:
        name: `adv_mnist`, `adv_mnist_pools`, or one of table 1: `fc10_1e-4`, `fc10_1e-2`,
            `fc10_1`, `fc100`, `fc200`, `ae400`.

    Returns:
        The module, which maps images `(N, 1, 28, 28)` in [0, 1] to logits `(N, 10)`.

    Raises:
        UserError: There are no such weights.

    Examples:
        >>> pretrained("fc10_1").widths
        (784, 10)
    """
    path = shipped_weights.shipped_checkpoint(name)
    kind = look_up(read_checkpoint(path)["hyper_parameters"]["_class_path"])
    module: LightningModule = kind.load_from_checkpoint(path, map_location="cpu")
    return module.eval()
