"""One run with all callbacks and four loggers, which are read back and compared."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lit_intriguing import cli
from tests.loggers.wandb_files import read_run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's database
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

OURS = "lit_intriguing.callbacks"
LOGGERS = "lightning.pytorch.loggers"
EPS = {"class_path": "lit_intriguing.attacks.GradientAttack", "init_args": {"eps": 0.5}}


def spec(path: str, **init_args: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": init_args}


CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "model": spec(
        "lit_intriguing.models.Classifier",
        widths=[64, 20, 10],
        optimizer=spec("torch.optim.Adam", lr=0.004),
    ),
    "data": spec("lit_intriguing.data.Digits", batch_size=128, validation=200),
    "trainer": {
        "max_epochs": 3,
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 4,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [
            spec(
                f"{OURS}.AdversarialTraining",
                layers={
                    "": {"attack": EPS, "mix": 16, "refresh": 16},
                    "hidden1": {"attack": EPS, "mix": 16, "refresh": 16},
                },
            ),
            spec(f"{OURS}.AdversarialExamples", examples=4),
            spec(f"{OURS}.LipschitzMonitor", every_n_steps=5),
            spec(f"{OURS}.LipschitzPenalty", weight=1e-4),
            spec(f"{OURS}.TransferEvaluation", examples=4),
            spec(f"{OURS}.UnitAnalysis", layers=["hidden1"], examples=50, rotations=2),
            spec(f"{OURS}.TrainingError", others={"more": spec("lit_intriguing.data.Digits")}),
        ],
    },
}

Picture = np.ndarray[Any, np.dtype[np.uint8]]

FIGURES = {"examples", "lipschitz", "transfer", "units", "units/history"}
TABLES = FIGURES - {"units/history"}


@dataclass
class Seen:
    """What a logger holds: values by key and step, pictures and tables by key, in their order."""

    values: dict[str, dict[int, float]]
    figures: dict[str, list[Picture]]
    tables: dict[str, int]


def loggers(folder: Path) -> list[dict[str, Any]]:
    found = [
        spec(f"{LOGGERS}.CSVLogger", save_dir=".", name="csv"),
        spec(f"{LOGGERS}.WandbLogger", project="wb", save_dir=".", offline=True),
    ]
    if find_spec("tensorboard"):
        found.append(
            spec(f"{LOGGERS}.TensorBoardLogger", save_dir=".", name="tb", default_hp_metric=False)
        )
    if find_spec("mlflow"):
        found.append(spec(f"{LOGGERS}.MLFlowLogger", tracking_uri=f"sqlite:///{folder}/ml.db"))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import wandb

    folder = tmp_path_factory.mktemp("run")
    config = {**CONFIG, "trainer": {**CONFIG["trainer"], "logger": loggers(folder)}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    wandb.teardown()  # of another test, whose folder it would write to
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_DATA_DIR", str(folder))
        cli.main(["fit", "--config=run.yaml"])
        wandb.finish()
        wandb.teardown()  # without it the file may end after its head
        yield folder


def picture(file: Any) -> Picture:
    return np.asarray(Image.open(file).convert("RGB"))


def pictures_in(folder: Path) -> dict[str, list[Picture]]:
    return {key: [picture(one) for one in sorted((folder / key).glob("*.png"))] for key in FIGURES}


def tables_in(folder: Path) -> dict[str, int]:
    return {key: len(list((folder / key).glob("*.csv"))) for key in TABLES}


def of_csv(folder: Path) -> Seen:
    (home,) = (folder / "csv").iterdir()
    with (home / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)), "one row a step"
    values: dict[str, dict[int, float]] = {}
    for row in rows:
        for key, text in row.items():
            if text and key not in ("step", "epoch"):
                values.setdefault(key, {})[int(row["step"])] = float(text)
    return Seen(values, pictures_in(home), tables_in(home))


def of_wandb(folder: Path) -> Seen:
    run = read_run(folder)
    seen = Seen({}, {}, {})
    for row in run.rows:
        assert "epoch" in row, "every row has both axes"
        step = row["trainer/global_step"]
        for key, value in row.items():
            if key.endswith("/figure/filenames"):
                (name,) = value
                known = seen.figures.setdefault(key.removesuffix("/figure/filenames"), [])
                known.append(picture(run.files / name))
            elif key.endswith("/table/_type"):
                name = key.removesuffix("/table/_type")
                seen.tables[name] = seen.tables.get(name, 0) + 1
            elif isinstance(value, int | float) and "/figure/" not in key and "/table/" not in key:
                seen.values.setdefault(key, {})[step] = value
    for key in ("epoch", "trainer/global_step", "_step", "_runtime", "_timestamp"):
        seen.values.pop(key, None)
    return seen


def of_tensorboard(folder: Path) -> Seen:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (home,) = (folder / "tb").iterdir()
    events = EventAccumulator(str(home), {"images": 0, "scalars": 0, "tensors": 0}).Reload()
    tags = events.Tags()
    values = {
        key: {one.step: one.value for one in events.Scalars(key)}
        for key in tags["scalars"]
        if key != "epoch"
    }
    figures = {
        key.removesuffix("/figure"): [
            picture(io.BytesIO(one.encoded_image_string)) for one in events.Images(key)
        ]
        for key in tags["images"]
    }
    texts = [key for key in tags["tensors"] if key.endswith("/table/text_summary")]
    tables = {key.removesuffix("/table/text_summary"): len(events.Tensors(key)) for key in texts}
    return Seen(values, figures, tables)


def of_mlflow(folder: Path) -> Seen:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/ml.db")
    (experiment,) = client.search_experiments(filter_string="name = 'lightning_logs'")
    (run,) = client.search_runs([experiment.experiment_id])
    values = {
        key: {one.step: one.value for one in client.get_metric_history(run.info.run_id, key)}
        for key in run.data.metrics
        if key != "epoch"
    }
    home = Path(run.info.artifact_uri.removeprefix("file://"))
    return Seen(values, pictures_in(home), tables_in(home))


READERS = {"wandb": of_wandb, "tensorboard": of_tensorboard, "mlflow": of_mlflow}


@pytest.mark.parametrize("name", READERS)
def test_each_logger_holds_the_same_as_the_table(run: Path, name: str) -> None:
    pytest.importorskip(name)
    table, seen = of_csv(run), READERS[name](run)
    assert seen.values.keys() == table.values.keys()
    for key, series in table.values.items():
        assert seen.values[key].keys() == series.keys(), key
        for step, value in series.items():
            assert seen.values[key][step] == pytest.approx(value, rel=1e-6, nan_ok=True), key
    assert seen.tables == table.tables == dict.fromkeys(TABLES, 3)
    assert seen.figures.keys() == table.figures.keys() == FIGURES
    for key, pictures in seen.figures.items():
        assert len(pictures) == 3, key
        for one in pictures:
            assert one.mean() > 100, f"{key} is black"
            assert one.std() > 5, f"{key} is empty"


def test_no_key_is_the_beginning_of_the_path_of_another(run: Path) -> None:
    keys = {*of_csv(run).values, *(f"{one}/figure" for one in FIGURES)}
    keys |= {f"{one}/table" for one in TABLES}
    assert [(a, b) for a in keys for b in keys if b.startswith(f"{a}/")] == []


def test_all_of_an_epochs_end_is_under_one_step(run: Path) -> None:
    values = of_csv(run).values
    ends = values["val/error"].keys()
    assert len(ends) == 3
    for key in ("examples/success", "lipschitz/network", "transfer/success", "units/hidden1/p"):
        assert values[key].keys() == ends
    assert values["train/error"].keys() == {max(ends)}


def test_each_callback_logs_what_it_costs(run: Path) -> None:
    values = of_csv(run).values
    for name in ("examples", "lipschitz", "transfer", "units"):
        series = values[f"{name}/seconds"]
        assert len(series) == 3
        assert all(0 < seconds < math.inf for seconds in series.values())


def test_options_are_columns_of_wandb_and_files_lie_where_they_should(run: Path) -> None:
    found = read_run(run)
    callbacks = found.config["trainer"]["callbacks"]
    assert found.config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.004
    layers = callbacks["AdversarialTraining"]["init_args"]["layers"]
    assert layers["hidden1"]["attack"]["init_args"]["eps"] == 0.5
    assert layers["input"]["mix"] == 16
    saved = yaml.safe_load((found.files / "lightning" / "config.yaml").read_text())
    (beside,) = (run / "wb").rglob("config.yaml")
    assert yaml.safe_load(beside.read_text()) == saved
    assert saved["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.004
    assert found.best["val/error"] == found.best["train/loss"] == "min"
    assert found.best["examples/distortion"] == "max"
    assert found.summary["val/error"]["min"] == min(of_csv(run).values["val/error"].values())


def test_the_table_of_examples_shows_images_and_names(run: Path) -> None:
    found = read_run(run)
    tables = [at for at, files in enumerate(found.tables) if "examples/table.table.json" in files]
    assert len(tables) == 3
    rows = found.rows_of(tables[-1])
    assert len(rows) == 4
    for row in rows:
        assert list(row)[:8] == [
            "example", "clean", "difference", "adversarial",
            "label", "target", "prediction", "adversarial_prediction",
        ]  # fmt: skip
        assert row["status"] in ("settled", "steps", "already", "not found")
        assert "targets" not in row
        clean, difference, adversarial = (picture(row[name]) for name in list(row)[1:4])
        assert clean.std() > 5
        assert adversarial.std() > 5
        # Grey where there was nothing to change.
        assert (difference.std() > 0) == (row["distortion"] > 0)
    assert any(row["distortion"] > 0 for row in rows)
