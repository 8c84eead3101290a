"""What data a run is trained on, in a few words that a checkpoint can hold."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from lit_intriguing.data import TensorLoader
from lit_intriguing.data.images.dataset import EpochDataset
from lit_intriguing.splits.fingerprint import class_name, fingerprint

_ROWS = 64
"""Examples whose inputs are looked at; reading all would take seconds."""


def data_summary(loader: Any) -> dict[str, Any]:
    """Describe the examples of a training loader, and their order in the data set.

    Args:
        loader: Any loader.

    Returns:
        Plain values: the class of the data set and, as far as they are known without reading
        files, the number of examples and a hash: of the labels and of 64 examples from all over,
        or of the labels and the files' names.
    """
    tensors = _tensors(loader)
    dataset = getattr(loader, "dataset", loader)
    if isinstance(dataset, EpochDataset):
        found = fingerprint(*dataset.identity())
        return {"data": "files", "examples": len(dataset), "hash": found}
    if tensors is None:
        known = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        return {"data": class_name(dataset), "examples": len(dataset) if known else None}
    rows = torch.linspace(0, len(tensors[0]) - 1, _ROWS).long()
    # Labels, and other small columns, as a whole.
    parts = [one if one.ndim == 1 else one[rows.to(one.device)] for one in tensors]
    return {"data": "tensors", "examples": len(tensors[0]), "hash": fingerprint(*parts)}


def _tensors(loader: Any) -> tuple[Tensor, ...] | None:
    if isinstance(loader, TensorLoader):
        return loader.inputs, loader.labels
    dataset = getattr(loader, "dataset", None)
    return dataset.tensors if type(dataset) is TensorDataset and len(dataset) else None
