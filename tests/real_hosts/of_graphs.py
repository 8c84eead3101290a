"""A classifier of graphs as PyG's examples write it for Lightning."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lit_intriguing.lipschitz import PowerIteration
from tests.real_hosts.host import BATCH, CLASSES, Around, Build, Host, Listed, norm_of

LIBRARY = "torch-geometric"
MODULE = "torch_geometric.nn"


class _GraphClassifier(Around):
    def __init__(self) -> None:
        from torch_geometric.nn import GIN, MLP, global_add_pool

        super().__init__(GIN(4, 8, num_layers=2, dropout=0.5))
        self.pool = global_add_pool
        self.classifier = MLP([8, 8, CLASSES], norm="batch_norm", dropout=0.5)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.classifier(self.pool(self.network(x, edge_index), batch))

    def training_step(self, data: Any, batch_idx: int) -> Tensor:
        logits = self(data.x, data.edge_index, data.batch)
        loss = cross_entropy(logits, data.y)
        self.log("train_loss", loss, batch_size=logits.size(0))
        return loss


class _Penalised(_GraphClassifier):
    def __init__(self) -> None:
        super().__init__()
        self.power = PowerIteration()

    def training_step(self, data: Any, batch_idx: int) -> Tensor:
        weight = self.classifier.lins[0].weight
        return super().training_step(data, batch_idx) + norm_of(weight, self.power)


def _graph(index: int) -> Any:
    from torch_geometric.data import Data

    nodes = 3 + index % 3
    return Data(
        x=torch.rand(nodes, 4),
        edge_index=torch.randint(nodes, (2, 6)),
        y=torch.tensor([index % CLASSES]),
    )


def _graphs(module: type[_GraphClassifier] = _GraphClassifier) -> Host:
    from torch_geometric.loader import DataLoader

    graphs = DataLoader(Listed(_graph), batch_size=BATCH, shuffle=True)
    known = {"inputs": "x", "labels": "y", "input_shape": (4,)}
    without = {"penalty": lambda: _graphs(_Penalised)}
    return Host(module(), graphs, "classifier.lins.0", known, without)


HOSTS: dict[str, Build] = {"graph isomorphism network": _graphs}
