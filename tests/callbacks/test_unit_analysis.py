"""UnitAnalysis: no trace on the run, right numbers and files, mistakes named at the start."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.callbacks import UnitAnalysis
from lit_intriguing.errors import UserError
from lit_intriguing.units import analyse_units
from tests.units import planted

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")

QUIET: dict[str, Any] = {
    "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu",
    "log_every_n_steps": 1,
}  # fmt: skip


class Host(LightningModule):
    """A project's module that knows nothing of us."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(12, 20)
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(self.head(self.body(x)))[0]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        assert self.training
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def loader() -> DataLoader[Any]:
    images, labels = planted.classes(0, planted.UNITS)
    return DataLoader(TensorDataset(images[:400], labels[:400]), batch_size=100, shuffle=True)


def fit(tmp_path: Path, *callbacks: Any, epochs: int = 2, **options: Any) -> tuple[Trainer, Host]:
    model = Host()
    trainer = Trainer(
        max_epochs=epochs, default_root_dir=tmp_path, callbacks=list(callbacks),
        **{"logger": False, "enable_checkpointing": False, **QUIET, **options},
    )  # fmt: skip
    torch.manual_seed(1)
    trainer.fit(model, loader())
    return trainer, model


def test_the_run_is_as_without_it(tmp_path: Path) -> None:
    _, with_it = fit(tmp_path, UnitAnalysis(["body.1", "head"], examples=50, rotations=2))
    _, without = fit(tmp_path)
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)


def test_scalars_tables_and_figures(tmp_path: Path) -> None:
    callback = UnitAnalysis("body.*", every_n_steps=3, examples=200, rotations=3)
    trainer, model = fit(tmp_path, callback, logger=CSVLogger(tmp_path), epochs=3)
    trainer.logger.save()
    folder = Path(trainer.logger.log_dir)
    with (folder / "metrics.csv").open() as file:
        logged = [row for row in csv.DictReader(file) if row.get("units/body.1/effect")]
    assert [int(row["step"]) for row in logged] == [2, 5, 8, 11]  # loggers count from 0
    names = {path.name for path in (folder / "units").glob("step-00000012.*")}
    assert names == {"step-00000012.csv", "step-00000012.png"}
    assert (folder / "units" / "history" / "step-00000012.png").is_file()
    with (folder / "units" / "step-00000012.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["trained"] * 3 + ["untrained"] * 3
    # The last measurement is of the weights at the end, on the images that it holds.
    inputs, labels = callback.state_dict()["rows"]
    found = analyse_units(model, (inputs, labels), "body.*", rotations=3, control=False)
    assert float(rows[1]["effect"]) == found.of("body.1").effect.value
    assert float(logged[-1]["units/body.1/p"]) == found.of("body.1").mean.p


def test_directions_of_a_file_and_principal_components_are_compared_as_well(tmp_path: Path) -> None:
    own = torch.randn(7, 12, generator=torch.Generator().manual_seed(0))
    torch.save({"body.1": {"my concepts": own}}, tmp_path / "own.pt")
    callback = UnitAnalysis(
        "body.*", examples=200, rotations=3, directions=str(tmp_path / "own.pt"), principal=True
    )
    trainer, model = fit(tmp_path, callback, logger=CSVLogger(tmp_path))
    inputs, labels = callback.state_dict()["rows"]
    found = analyse_units(
        model, (inputs, labels), "body.*", rotations=3, control=False, principal=True,
        directions={"body.1": {"my concepts": own}},
    )  # fmt: skip
    values = trainer.callback_metrics
    for name, basis in (("my_concepts", "my concepts"), ("principal_components",) * 2):
        effect = found.of("body.1", basis=basis.replace("_", " ")).effect.value
        assert float(values[f"units/body.1/{name}/effect"]) == pytest.approx(effect)
    assert "units/body.0/my_concepts/effect" not in values
    folder = Path(trainer.logger.log_dir) / "units"  # type: ignore[union-attr, arg-type]
    with (folder / "step-00000008.csv").open() as file:
        bases = [(row["layer"], row["basis"]) for row in csv.DictReader(file)]
    assert ("body.1", "my concepts") in bases
    assert (folder / "history" / "step-00000008.png").is_file()


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({"heed": {"a": torch.eye(20)}}, "directions are given for heed, but its layers are head"),
        ({"head": {"a": torch.eye(19)}}, "19"),
    ],
)
def test_directions_that_fit_no_layer_end_the_run_at_its_start(
    directions: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fit(tmp_path, UnitAnalysis(["head"], examples=60, directions=directions))


def test_the_effect_can_be_monitored(tmp_path: Path) -> None:
    best = ModelCheckpoint(dirpath=tmp_path, monitor="units/head/effect", mode="max")
    callback = UnitAnalysis(["head"], examples=100, rotations=2, control=False)
    trainer, _ = fit(tmp_path, callback, best, enable_checkpointing=True)
    assert math.isfinite(float(trainer.callback_metrics["units/head/effect"]))
    assert best.best_model_score is not None


def test_a_resumed_run_has_the_images_and_the_history_of_the_first(tmp_path: Path) -> None:
    first = UnitAnalysis(["head"], examples=60, rotations=2, control=False)
    trainer, _ = fit(tmp_path, first)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    second = UnitAnalysis(["head"], examples=60, rotations=2, control=False)
    going_on = Trainer(
        max_epochs=3, default_root_dir=tmp_path, callbacks=[second], logger=False,
        enable_checkpointing=False, **QUIET,
    )  # fmt: skip
    going_on.fit(Host(), loader(), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    assert torch.equal(first.state_dict()["rows"][0], second.state_dict()["rows"][0])
    steps = [step for step, _ in second.state_dict()["history"]]
    assert steps == [4, 8, 12]
    assert second.state_dict()["history"][:2] == first.state_dict()["history"]


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (["hed"], {}, "no layer 'hed'. Nearest names: head"),
        (["pair"], {}, "is a tuple, not a tensor"),
        (["head"], {"examples": 5}, "only 5"),
    ],
)
def test_mistakes_end_the_run_at_its_start(
    layers: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fit(tmp_path, UnitAnalysis(layers, **options))


@pytest.mark.parametrize("options", [{"k": 1}, {"rotations": 0}, {"examples": 0}, {"seed": -1}])
def test_numbers_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, UserError), match="must"):
        UnitAnalysis(["head"], **options)


def test_without_labels_it_names_features_and_these_work(tmp_path: Path) -> None:
    images, _ = planted.classes(0, planted.UNITS)
    batches = DataLoader(
        [
            {"image": images[k : k + 50], "target": images[k : k + 50] * 2}
            for k in range(0, 200, 50)
        ],
        batch_size=None,
    )

    class Regression(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.mse_loss(self(batch["image"]), batch["target"])

    def run(**options: Any) -> dict[str, Any]:
        callback = UnitAnalysis(["body.1"], examples=40, inputs="image", control=False, **options)
        trainer = Trainer(
            max_epochs=1, default_root_dir=tmp_path, callbacks=[callback], logger=False,
            enable_checkpointing=False, **QUIET,
        )  # fmt: skip
        trainer.fit(Regression(), batches)
        return dict(trainer.callback_metrics)

    with pytest.raises(UserError, match="do without labels: features="):
        run()
    assert "units/body.1/effect" in run(features=nn.Flatten())
