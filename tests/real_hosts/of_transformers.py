"""Networks of transformers, from configurations, in three ways that tutorials write."""

from typing import Any

import torch
from torch import Tensor

from tests.real_hosts.host import CLASSES, Around, Build, Host, shuffled

LIBRARY = "transformers"
MODULE = "transformers"

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "num_labels": CLASSES,
}  # fmt: skip

TOKENS, WORDS = 8, 50


class _ToLogits(Around):
    """`forward` maps images to logits; the batch is a dict."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.network(pixel_values=pixel_values).logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch["pixel_values"])
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"])
        self.log("training_loss", loss)
        return loss


class _WholeBatch(Around):
    """`forward(**batch)` returns the loss beside the logits."""

    def forward(self, **inputs: Any) -> Any:
        return self.network(**inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(**batch)[0]


def _vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **SMALL))


def _image(index: int) -> dict[str, Any]:
    return {"pixel_values": torch.rand(3, 32, 32), "labels": index % CLASSES}


def _text(index: int) -> dict[str, Any]:
    words = 4 + index % 5
    return {
        "input_ids": torch.randint(1, WORDS, (TOKENS,)) * (torch.arange(TOKENS) < words),
        "token_type_ids": torch.zeros(TOKENS, dtype=torch.long),
        "attention_mask": (torch.arange(TOKENS) < words).long(),
        "labels": index % CLASSES,
    }


def _to_logits() -> Host:
    return Host(_ToLogits(_vit()), shuffled(_image), "network.vit.embeddings")


def _whole_batch() -> Host:
    return Host(_WholeBatch(_vit()), shuffled(_image), "network.vit.embeddings")


def _bert() -> Host:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=WORDS, max_position_embeddings=TOKENS, **SMALL)
    module = _WholeBatch(BertForSequenceClassification(config))
    hidden = "network.bert.embeddings"
    return Host(
        module,
        shuffled(_text),
        hidden,
        {"layer": hidden, "labels": "labels", "input_shape": (TOKENS,)},
    )


HOSTS: dict[str, Build] = {
    "ViT, forward to logits": _to_logits,
    "ViT, forward(**batch)": _whole_batch,
    "BERT": _bert,
}
