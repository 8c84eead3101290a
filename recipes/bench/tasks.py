"""Clean and attacked figures of a recipe with and without adversarial training, over seeds.

From the root of a checkout: python recipes/bench/tasks.py regression_diabetes

Trains recipes/NAME.yaml with its adversarial training and without any callback, and tests each
network as it is and behind recipes/NAME/attack.yaml. Nothing is written; the table is printed.
With --validation the networks are measured on held-out examples of the training data, for a choice
of settings, and the test data are not read.
"""

import argparse
import copy
import io
import statistics
import time
from collections.abc import Iterator
from typing import Any

from lightning.pytorch import LightningModule

from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.configuration.patches import Config
from lit_intriguing.training_runs.measure import build, silence

Figures = dict[str, float]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", help="name, such as regression_diabetes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--validation", type=float, help="examples, or a share, to choose with")
    parser.add_argument("--eps", type=float, nargs="+", help="sizes in place of the recipe's")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument("--split_seed", type=int, help="another division of the data")
    parser.add_argument("--config", nargs="*", default=[], help="files behind the recipe")
    return parser.parse_args()


def variants(config: Config, sizes: list[float] | None) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration: without callbacks, and with examples of each size."""
    clean = copy.deepcopy(config)
    clean["trainer"]["callbacks"] = []
    yield "without", clean
    for size in sizes or [None]:
        one = copy.deepcopy(config)
        (training,) = one["trainer"]["callbacks"]
        for layer in training["init_args"]["layers"].values():
            if size is not None:
                layer["attack"]["init_args"]["eps"] = size
        yield "with" if size is None else f"with eps {size}", one


def measured(config: Config, model: LightningModule | None, split: str) -> tuple[Any, Figures]:
    """Train, unless a trained model is given, and return the model with its figures on a split."""
    made = build(config)
    seconds: Figures = {}
    if model is None:
        start = time.process_time()
        made.trainer.fit(made.model, datamodule=made.datamodule)
        seconds = {"CPU seconds": time.process_time() - start}
    else:
        made.model.load_state_dict(model.state_dict())
    evaluate = made.trainer.validate if split == "val" else made.trainer.test
    evaluate(made.model, datamodule=made.datamodule, verbose=False)
    found = {
        name.removeprefix(f"{split}/"): float(value)
        for name, value in made.trainer.callback_metrics.items()
        if name.startswith(f"{split}/")
    }
    return made.model, {**found, **seconds}


def row(config: Config, attacked: Config, split: str) -> Figures:
    """Return the figures of one training, clean and under attack."""
    with silence(io.StringIO()):
        model, clean = measured(config, None, split)
        against = {**config, "trainer": {**config["trainer"], **attacked["trainer"]}}
        _, hard = measured(against, model, split)
    return {**clean, **{f"{name}, attacked": value for name, value in hard.items()}}


def main() -> None:
    """Run the study and print a line for each run, and the table."""
    given = arguments()
    recipe = f"recipes/{given.recipe}.yaml"
    config = merged_files([recipe, *given.config])
    attacked = merged_files([f"recipes/{given.recipe}/attack.yaml"])
    split = "test" if given.validation is None else "val"
    if given.validation is not None:
        whole = given.validation >= 1
        config["data"]["init_args"]["validation"] = (
            int(given.validation) if whole else given.validation
        )
    if given.split_seed is not None:
        config["data"]["init_args"]["split_seed"] = given.split_seed
    if given.epochs:
        config["trainer"]["max_epochs"] = given.epochs
    results: dict[str, list[Figures]] = {}
    for seed in given.seeds:
        for name, one in variants(config, given.eps):
            figures = row({**one, "seed_everything": seed}, attacked, split)
            results.setdefault(name, []).append(figures)
            print(seed, name, {key: round(value, 4) for key, value in figures.items()}, flush=True)
    names = list(next(iter(results.values()))[0])
    print("\n| training | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for name, rows in results.items():
        print(f"| {name} | " + " | ".join(cell([one[key] for one in rows]) for key in names) + " |")


def cell(values: list[float]) -> str:
    """Return mean and standard deviation of a figure over the seeds."""
    spread = f" (sd {statistics.stdev(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
