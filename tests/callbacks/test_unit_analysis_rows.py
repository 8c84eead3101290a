"""UnitAnalysis on hosts whose model does not take the inputs alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from lit_intriguing.callbacks import UnitAnalysis
from lit_intriguing.errors import UserError
from lit_intriguing.units import analyse_units, untrained_copy
from tests.callbacks.test_unit_analysis import QUIET

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")

TOKENS, WORDS, EXAMPLES = 5, 11, 40


class Worded(LightningModule):
    """A classifier of texts with a mask; its forward takes both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(WORDS, 6)
        self.memory = nn.LSTM(6, 6, batch_first=True)
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.4))
        self.head = nn.Linear(8, 3)
        self.kinds: set[torch.dtype] = set()
        self.shifting = (number for number in range(9))  # cannot be copied

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.kinds.add(ids.dtype)
        states, _ = self.memory(self.embedding(ids))
        return self.head(self.body((states * mask[..., None]).sum(1)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        assert self.training
        loss = F.cross_entropy(self(batch["ids"], batch["mask"]), batch["label"])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def texts() -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(3)
    return [
        {
            "ids": torch.randint(WORDS, (TOKENS,), generator=draw),
            "mask": (torch.arange(TOKENS) < 2 + index % 4).float(),
            "label": index % 3,
        }
        for index in range(EXAMPLES)
    ]


def fit(
    tmp_path: Path, module: LightningModule, data: Any, *callbacks: Any, **options: Any
) -> Trainer:
    trainer = Trainer(
        max_epochs=1, default_root_dir=tmp_path, callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, **QUIET, **options,
    )  # fmt: skip
    torch.manual_seed(1)
    trainer.fit(module, data)
    return trainer


def loader(examples: list[Any], **options: Any) -> DataLoader[Any]:
    return DataLoader(examples, batch_size=8, shuffle=True, **options)


@pytest.mark.filterwarnings("ignore:Untrained control")
def test_token_ids_are_compared_by_their_labels_and_the_run_is_as_without_it(
    tmp_path: Path,
) -> None:
    callback = UnitAnalysis(["body.1"], rotations=3, k=3, examples=30, inputs="ids")
    module, bare = Worded(), Worded()
    trainer = fit(tmp_path, module, loader(texts()), callback)
    fit(tmp_path, bare, loader(texts()))
    for one, other in zip(module.parameters(), bare.parameters(), strict=True):
        assert torch.equal(one, other)
    assert module.training
    assert module.kinds == {torch.int64}
    stored = callback.state_dict()["rows"]
    assert stored["count"] == 30
    ids, mask = stored["entries"]["ids"], stored["entries"]["mask"]
    found = analyse_units(
        module, (torch.arange(30), stored["entries"]["label"]), "body.1", rotations=3, k=3,
        control=False, forward=lambda network, rows: network(ids[rows], mask[rows]),
    )  # fmt: skip
    effect = float(trainer.callback_metrics["units/body.1/effect"])
    assert effect == pytest.approx(found.of("body.1").effect.value, rel=1e-5)


def test_token_ids_are_compared_by_features_of_them(tmp_path: Path) -> None:
    features = nn.Sequential(nn.Embedding(WORDS, 4), nn.Flatten())
    callback = UnitAnalysis(["head"], rotations=2, k=2, features=features, inputs="ids",
                            control=False)  # fmt: skip
    trainer = fit(tmp_path, Worded(), loader(texts()), callback)
    assert "units/head/effect" in trainer.callback_metrics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "lable"}, "no labels at 'lable'"),
        ({"inputs": "idz"}, "no inputs at 'idz'"),
        ({"labels": "mask"}, "The labels must be a tensor of integers"),
    ],
)
def test_places_that_are_wrong_are_named(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    callback = UnitAnalysis(["head"], rotations=2, k=2, control=False, **options)
    with pytest.raises(UserError, match=message):
        fit(tmp_path, Worded(), loader(texts()), callback)


class Autoencoder(LightningModule):
    """Takes a batch that is a tensor, and has no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.mse_loss(self.net(batch), batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_batch_that_is_a_tensor_needs_features_and_these_work(tmp_path: Path) -> None:
    def run(**options: Any) -> Trainer:
        callback = UnitAnalysis(["net.1"], rotations=2, k=2, control=False, **options)
        return fit(tmp_path, Autoencoder(), loader(list(torch.rand(20, 6))), callback)

    with pytest.raises(UserError, match="do without labels: features="):
        run()
    assert "units/net.1/effect" in run(features=nn.Flatten()).callback_metrics


class Graphs(LightningModule):
    """Sums the nodes of each graph; a batch is one graph of several parts."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, edges, owner = (batch[name] for name in ("x", "edges", "owner"))
        states = self.nodes(x + torch.zeros_like(x).index_add(0, edges[0], x[edges[1]]))
        sums = states.new_zeros(len(batch["y"]), 6).index_add(0, owner, states)
        return F.cross_entropy(self.head(sums), batch["y"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def together(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    sizes = [len(one["x"]) for one in parts]
    starts = [sum(sizes[:index]) for index in range(len(parts))]
    pairs = zip(parts, starts, strict=True)
    return {
        "x": torch.cat([one["x"] for one in parts]),
        "edges": torch.cat([one["edges"] + start for one, start in pairs], 1),
        "owner": torch.arange(len(parts)).repeat_interleave(torch.tensor(sizes)),
        "y": torch.stack([one["y"] for one in parts]),
    }


def graph(index: int) -> dict[str, Tensor]:
    nodes = 2 + index % 3
    draw = torch.Generator().manual_seed(index)
    return {
        "x": torch.rand(nodes, 4, generator=draw),
        "edges": torch.randint(nodes, (2, 5), generator=draw),
        "y": torch.tensor(index % 3),
    }


@pytest.mark.parametrize("count", [12, 300])
def test_layers_with_one_row_for_each_graph_are_read_whole(tmp_path: Path, count: int) -> None:
    data = loader([graph(index) for index in range(count)], collate_fn=together)
    callback = UnitAnalysis(["head"], rotations=2, k=2, labels="y", examples=250, control=False)
    trainer = fit(tmp_path, Graphs(), data, callback)
    assert "units/head/effect" in trainer.callback_metrics
    of_nodes = UnitAnalysis(["nodes"], rotations=2, k=2, labels="y", control=False)
    with pytest.raises(UserError, match="Name another layer or reading"):
        fit(tmp_path, Graphs(), data, of_nodes)


@pytest.mark.filterwarnings("ignore:Untrained control")
def test_an_untrained_copy_of_what_cannot_be_copied_whole_has_lstms_that_run() -> None:
    fresh = untrained_copy(Worded())
    assert fresh(torch.zeros(2, TOKENS, dtype=torch.long), torch.ones(2, TOKENS)).shape == (2, 3)


class TwoViews(LightningModule):
    """A host whose step runs one network on two views of the examples."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.head = nn.Linear(8, 4)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.network(first)), self.head(self.network(second))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        one, other = self(batch["first"], batch["second"])
        return -F.cosine_similarity(one, other).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_layer_that_a_step_calls_twice_is_refused_with_a_way_out_that_works(
    tmp_path: Path,
) -> None:
    examples = [
        {"first": torch.rand(6), "second": torch.rand(6), "number": 0.5} for _ in range(EXAMPLES)
    ]
    loader = DataLoader(examples, batch_size=20)

    def trainer(**options: Any) -> Trainer:
        callback = UnitAnalysis(
            ["network.1"], k=2, rotations=2, examples=20, inputs="first", control=False,
            features=nn.Flatten(), **options,
        )  # fmt: skip
        return Trainer(
            max_epochs=1, default_root_dir=tmp_path, callbacks=[callback], logger=False,
            enable_checkpointing=False, **QUIET,
        )  # fmt: skip

    with pytest.raises(UserError, match=r"called twice .*model=<name>, the inputs by inputs="):
        trainer().fit(TwoViews(), loader)
    whole = trainer(model="network")
    whole.fit(TwoViews(), loader)
    assert "units/network.1/effect" in whole.callback_metrics
