"""Which part of a LightningModule maps inputs to logits."""

from lightning.pytorch import LightningModule
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.splice import submodule


def logits_model(pl_module: LightningModule, name: str | None = None) -> nn.Module:
    """Return the submodule of that name, or the module itself where it defines `forward`.

    Raises:
        UnknownLayerError: For an unknown name.
        UserError: If there is no name and the module has no `forward`.
    """
    if name is not None:
        return submodule(pl_module, name)
    if type(pl_module).forward is not LightningModule.forward:
        return pl_module
    children = ", ".join(repr(child) for child, _ in pl_module.named_children())
    raise UserError(
        f"{type(pl_module).__name__} has no forward, so it is not known what maps inputs to "
        f"logits: name the submodule by model=<name>, one of {children}."
    )
