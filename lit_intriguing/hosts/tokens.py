"""Perturbed embeddings as text: the tokens that are nearest before and after."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.splice import submodule

_BLOCK = 1024
"""Embeddings compared with the vocabulary at once."""


def embedding(pl_module: LightningModule, layer: str) -> nn.Embedding | None:
    """Return the attacked layer if it embeds tokens, else None."""
    found = submodule(pl_module, layer) if layer else None
    return found if isinstance(found, nn.Embedding) else None


def nearest_tokens(vectors: Tensor, weight: Tensor) -> Tensor:
    """Return the numbers of the nearest tokens in L2, int64 `(*S)`.

    Args:
        vectors: Embeddings, `(*S, D)`.
        weight: Of the vocabulary, `(V, D)`.

    >>> nearest_tokens(torch.tensor([[[0.9, 0.0], [0.1, 0.2]]]), torch.eye(2))
    tensor([[0, 1]])
    """
    flat = vectors.detach().reshape(-1, vectors.shape[-1]).float()
    weight = weight.detach().to(flat)
    found = [torch.cdist(block, weight).argmin(1) for block in torch.split(flat, _BLOCK)]
    return torch.cat(found).view(vectors.shape[:-1])


def words_of(trainer: Trainer, pl_module: LightningModule) -> Callable[[int], str]:
    """Return what names a token: the host's or its data's `tokenizer`, or the token's number."""
    datamodule = getattr(trainer, "datamodule", None)
    for owner in (pl_module, datamodule):
        convert = getattr(getattr(owner, "tokenizer", None), "convert_ids_to_tokens", None)
        if callable(convert):
            return _Named(convert)
    return str


class _Named:
    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    def __call__(self, token: int) -> str:
        return str(self._convert(token))


def token_changes(before: Tensor, after: Tensor, word: Callable[[int], str]) -> list[str]:
    """Return each example's tokens as text, a changed one as `old→new`.

    Args:
        before: Tokens `(N, T)`.
        after: Tokens `(N, T)`.
        word: Names a token.

    >>> token_changes(torch.tensor([[3, 4]]), torch.tensor([[3, 7]]), str)
    ['3 4→7']
    """
    return [
        " ".join(word(a) if a == b else f"{word(a)}→{word(b)}" for a, b in zip(*pair, strict=True))
        for pair in zip(before.tolist(), after.tolist(), strict=True)
    ]
