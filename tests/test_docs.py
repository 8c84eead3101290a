"""The examples of the pages run as they stand, and say in the log what the page says."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

import lit_intriguing.callbacks
import lit_intriguing.schemes
from lit_intriguing.attacks import HostLoss, RandomTargets
from tests.page_hosts import STEPS, N, Quick, YourModule, classes, loader, rows
from tests.pages import DOCS, ROOT, Example, examples

PAGE = DOCS / "adversarial_training.md"
SCHEMES = DOCS / "schemes.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are in a checkout alone")

Given = dict[str, Any]


HOWTOS = {one.heading: one for one in examples(PAGE)} if PAGE.is_file() else {}


@dataclass
class Output:
    """What networks of transformers return."""

    loss: Tensor | None
    logits: Tensor


class Network(nn.Module):
    """Takes a batch by keyword and computes its own loss, as networks of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(12, 3)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Output:
        logits = self.top(pixel_values.flatten(1))
        return Output(None if labels is None else F.cross_entropy(logits, labels), logits)


def hugging_face(network: nn.Module, size: int) -> Given:
    batch = {"pixel_values": rows(3, size, size), "labels": classes()}
    return {"network": network, "loader": loader(batch)}


def text() -> Given:
    lengths = torch.tensor([[7], [3], [5], [1]])
    ids = torch.randint(1000, (N, 7))
    mask = (torch.arange(7) < lengths).long()
    batch = {"input_ids": ids, "attention_mask": mask, "labels": classes(of=2)}
    return {"loader": loader(batch)}


def semi_supervised() -> Given:
    unlabelled = DataLoader([[torch.rand(2 * N, 8)]] * STEPS, batch_size=None)
    return {"loader": loader((rows(8), classes())), "unlabelled_loader": unlabelled}


GIVEN: dict[str, Callable[[], Given]] = {
    "A classifier": lambda: {
        "YourModule": YourModule,
        "YourData": lambda: loader((rows(8), classes())),
    },
    "Hugging Face": lambda: hugging_face(Network(), 2),
    "Segmentation": lambda: {"loader": loader((rows(3, 8, 8), classes(8, 8, of=2)))},
    "Regression": lambda: {"loader": loader((rows(8), rows(1)))},
    "Text": text,
    "Two heads": lambda: {"loader": loader((rows(8), classes(), rows(1)))},
    "Self-supervised pairs": lambda: {"loader": loader({"views": [rows(8), rows(8)]})},
    "Graphs": lambda: {
        "loader": loader(
            {"x": rows(8), "edges": torch.arange(3) + torch.tensor([[0], [1]]), "y": classes()}
        )
    },
    "Manual optimisation": lambda: {"loader": loader((rows(8), classes()))},
    "A host that normalises in `training_step`": lambda: {
        "loader": loader((rows(3, 8, 8), classes()))
    },
    "Several data loaders, nested batches": semi_supervised,
}
"""What the examples leave to the reader."""


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[[Example, Given], Given]:
    """Run an example and check that the log says what the page says; return its names."""
    monkeypatch.setattr(lightning.pytorch, "Trainer", Quick)

    def runs(example: Example, given: Given) -> Given:
        torch.manual_seed(0)
        names = {**given, "__name__": "example"}
        with caplog.at_level("INFO", logger="lightning.pytorch"):
            exec(compile(example.code, example.heading, "exec"), names)
        said = [one.message for one in caplog.records if "examples toward" in one.message]
        assert len(said) == 1
        assert not example.log or example.log == said[0]
        return names

    return runs


def test_the_page_has_a_how_to_for_each_kind_of_host() -> None:
    assert list(HOWTOS) == list(GIVEN)
    assert all(one.log for one in HOWTOS.values())


@pytest.mark.parametrize("heading", GIVEN)
def test_how_tos_run_and_choose_what_the_page_says(
    heading: str, run: Callable[[Example, Given], Given]
) -> None:
    example = HOWTOS[heading]
    training = run(example, GIVEN[heading]())["training"]
    wanted = HostLoss() if "HostLoss" in example.log else RandomTargets()
    assert {plan.goal for plan in training.pools.layers.values()} == {wanted}
    assert training.pools.step == STEPS
    for pool in training.pools.by_layer.values():
        assert len(pool) == (STEPS if heading == "Graphs" else N * STEPS)  # of batches, or examples


def test_the_readmes_example_is_that_of_the_page(run: Callable[[Example, Given], Given]) -> None:
    mine = {one.heading: one for one in examples(ROOT / "README.md")}["In your own project"]
    assert mine.code == HOWTOS["A classifier"].code


def test_the_example_of_schemes_runs_and_says_what_its_page_says(
    run: Callable[[Example, Given], Given],
) -> None:
    example = {one.heading: one for one in examples(SCHEMES)}["In Python"]
    training = run(example, GIVEN["A classifier"]())["training"]
    assert example.log
    assert training.pools.step == STEPS


def test_the_page_of_schemes_names_each_file_and_each_class() -> None:
    page = SCHEMES.read_text()
    files = {one.stem for one in (ROOT / "configs" / "adversarial").glob("*.yaml")}
    rows = re.findall(r"^\| [^|]* \| (`\w+`(?:, `\w+`)*) \| `(\w+)\(", page, re.MULTILINE)
    assert {name for cell, _ in rows for name in re.findall(r"\w+", cell)} == files
    known = {*lit_intriguing.schemes.__all__} - {"Scheme"} | {"AdversarialWeightPerturbation"}
    assert {kind for _, kind in rows} == known


def test_the_example_of_hugging_face_runs_with_a_network_of_transformers(
    run: Callable[[Example, Given], Given],
) -> None:
    transformers = pytest.importorskip("transformers")
    settings = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=8, patch_size=4, num_labels=3,
    )  # fmt: skip
    network = transformers.ViTForImageClassification(settings)
    training = run(HOWTOS["Hugging Face"], hugging_face(network, 8))["training"]
    assert len(training.pools.by_layer[""]) == N * STEPS


def test_the_table_of_callbacks_names_each_of_them() -> None:
    named = re.findall(r"^\| `(\w+)`(?:, \*measures\*)? \|", PAGE.read_text(), re.MULTILINE)
    there = set(lit_intriguing.callbacks.__all__) - {"PerturbedLayer"}
    assert there == {name for name in named if name[0].isupper()}
