"""Errors of a linear car detector on trained features, on those of random filters, and on pixels.

With five seeds of recipes/quocnet_cifar.yaml:

    python recipes/bench/car_features.py --seeds 0 1 2 3 4

and with other numbers in the recipe's network, on held-out images alone, the test set unread:

    python recipes/bench/car_features.py --held_out --seeds 0 --network maps=4 --network maps=32

Random filters are the network's before it is trained. The detector is a logistic regression on
standardised features. How strongly it is regularised is chosen, for each kind of features and each
seed, on the images that the recipe holds out, which then join the training; the test images are
looked at once. All is kept in recipes/results/car_features.json, and what is there is not measured
again, so that a study goes on where it was stopped. Prints a table.
"""

import argparse
import copy
import datetime
import io
import json
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.data import ImageFolder
from lit_intriguing.models import QuocNet
from lit_intriguing.training_runs.measure import build, silence
from lit_intriguing.whole_files import write_json

RECIPES = Path(__file__).parents[1]
RECIPE = RECIPES / "quocnet_cifar.yaml"
RESULTS = RECIPES / "results" / "car_features.json"
VARIED = ("stages", "maps", "kernel", "pool", "pixels")
"""Options of the network by which runs are told apart."""
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""C of scikit-learn, the inverse of the regularisation."""

Features = Callable[[Tensor], Tensor]
Rows = tuple[Tensor, Tensor]
Run = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, store it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--held_out", action="store_true", help="leave the test images unread")
    parser.add_argument(
        "--network", nargs="+", action="append", metavar="NAME=VALUE",
        help="options of the network beside the recipe's; give it again for further networks",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    networks = [dict(map(named, one)) for one in options.network or [[]]]
    torch.set_num_threads(1)
    config = merged_files([str(RECIPE)])
    runs: list[Run] = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    parts = None
    for network, seed in product(networks, options.seeds):
        made = with_network(config, network)
        for features in ("pixels", "random", "trained"):
            one = {"features": features}
            if features != "pixels":
                one |= {"network": sizes(made), "seed": seed}
            if not any(is_done(run, one, options.held_out) for run in runs):
                parts = parts or images_of(config, options.held_out)
                found = errors(features_of(features, made, seed), parts)
                runs = [run for run in runs if not is_done(run, one, True)]
                runs.append({**one, **found, "date": datetime.date.today().isoformat()})
                write_json(
                    RESULTS, {"command": "python recipes/bench/car_features.py", "runs": runs}
                )
    print(table(runs))


def named(word: str) -> tuple[str, Any]:
    """Return name and value of `NAME=VALUE`."""
    name, _, value = word.partition("=")
    if name not in VARIED:
        sys.exit(
            f"--network: {name!r} is none of {', '.join(VARIED)}, by which runs are told apart"
        )
    return name, json.loads(value)


def with_network(config: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe with other options of its network."""
    made = copy.deepcopy(config)
    made["model"]["init_args"]["network"]["init_args"] |= network
    return made


def sizes(config: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a configuration's network that the study varies."""
    given = config["model"]["init_args"]["network"]["init_args"]
    return {name: given[name] for name in VARIED}


def is_done(run: Run, one: Run, held_out: bool) -> bool:
    """Return whether a run is what is wanted; with test images only if it has their error."""
    return one.items() <= run.items() and (held_out or "test" in run)


def images_of(config: dict[str, Any], held_out: bool) -> dict[str, Rows]:
    """Return images and labels of `train` and `validation`, and of `test` where it is wanted."""
    data = ImageFolder(**config["data"]["init_args"], seed=0)
    data.setup(None)
    loaders = {"train": data.train_dataloader(), "validation": data.val_dataloader()}
    if not held_out:
        loaders["test"] = data.test_dataloader()
    found = {}
    for name, loader in loaders.items():
        images, labels = zip(*loader, strict=True)
        found[name] = torch.cat(images), torch.cat(labels)
    return found


def features_of(kind: str, config: dict[str, Any], seed: int) -> Features:
    """Return pixels, or the features of a network with random filters, or of one that it trains."""
    if kind == "pixels":
        return lambda x: x.flatten(1)
    with silence(io.StringIO()):
        made = build({**config, "seed_everything": seed})
        if kind == "trained":
            made.trainer.fit(made.model, datamodule=made.datamodule)
    network = made.model.network
    assert isinstance(network, QuocNet)
    return lambda x: outputs(network.eval(), x)


def outputs(network: QuocNet, x: Tensor) -> Tensor:
    """Return what a network makes of images, a row for each."""
    with torch.no_grad():
        return torch.cat([network(few).flatten(1) for few in x.split(250)])


def errors(features: Features, parts: dict[str, Rows]) -> Run:
    """Return C as chosen on the held-out images, and the errors in percent."""
    found = {name: (features(images), labels) for name, (images, labels) in parts.items()}
    trials = [(error(c, found["train"], found["validation"]), c) for c in STRENGTHS]
    held_out, best = min(trials)
    both = {"C": best, "held_out": round(held_out, 2)}
    if "test" in found:
        pairs = zip(found["train"], found["validation"], strict=True)
        images, labels = (torch.cat(pair) for pair in pairs)
        both["test"] = round(error(best, (images, labels), found["test"]), 2)
    return both


def error(strength: float, train: Rows, test: Rows) -> float:
    """Return the error in percent of a logistic regression trained on some, of others."""
    mean, std = train[0].mean(0), train[0].std(0).clamp(min=1e-6)
    model = LogisticRegression(C=strength, max_iter=300)
    model.fit(((train[0] - mean) / std).numpy(), train[1].numpy())
    predicted = model.predict(((test[0] - mean) / std).numpy())
    return 100 * float((torch.from_numpy(predicted) != test[1]).float().mean())


def table(runs: Sequence[Run]) -> str:
    """Return a line for each network and kind of features, means over seeds."""
    lines = ["| features | network | seeds | held out, % | test, % |", "|---|---|---|---|---|"]
    kinds = {(run["features"], json.dumps(run.get("network", ""))) for run in runs}
    for features, network in sorted(kinds, key=lambda kind: kind[::-1]):
        same = [
            run
            for run in runs
            if (run["features"], json.dumps(run.get("network", ""))) == (features, network)
        ]
        cells = [
            over_seeds([run[key] for run in same if key in run]) for key in ("held_out", "test")
        ]
        words = ", ".join(f"{key} {value}" for key, value in (json.loads(network) or {}).items())
        lines.append(f"| {features} | {words} | {len(same)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def over_seeds(values: Sequence[float]) -> str:
    """Return mean and standard deviation."""
    spread = f" (sd {stdev(values):.2f})" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}" if values else ""


if __name__ == "__main__":
    main()
