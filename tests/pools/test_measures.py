"""Each layer is measured once after each report."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import Untargeted
from lit_intriguing.pools.generation import Examples, Spliced
from lit_intriguing.pools.joining import Joined
from lit_intriguing.pools.measures import Measures
from lit_intriguing.splice import Splice

CPU = torch.device("cpu")
X = torch.eye(3)


class Counting(nn.Module):
    """The logits are the input; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return x


@pytest.fixture
def spliced() -> Spliced:
    model = Counting()
    return Spliced(model, Splice(model, []))


def made(adversarial: Tensor) -> dict[str, Examples]:
    clean = X[: len(adversarial)]
    return {"": Examples(clean, adversarial, Untargeted(torch.arange(len(clean))), None)}


def joined() -> Joined:
    labels = torch.tensor([0, 1, 2, 0, 1])
    return Joined(torch.zeros(5, 3), labels, 2, {"": slice(2, 4), "a.b": slice(4, 5)}, {})


def test_new_examples_are_measured_by_success_and_distortion(spliced: Spliced) -> None:
    measures = Measures([""])
    measures.examples(spliced, X, made(torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 1.0]])))
    values = measures.report()
    assert values["adversarial/input/success"] == 0.5
    assert values["adversarial/input/distortion"].item() == pytest.approx((3 + 1) / 3**0.5 / 2)


def test_unchanged_examples_count_for_success_and_not_for_distortion(spliced: Spliced) -> None:
    measures = Measures([""])
    measures.examples(spliced, X, made(torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0]])))
    values = measures.report()
    assert values["adversarial/input/success"] == 0.5
    assert values["adversarial/input/distortion"].item() == pytest.approx(3 / 3**0.5)
    measures.examples(spliced, X, made(X))
    assert measures.report()["adversarial/input/distortion"] == 0


def test_examples_are_measured_once_until_the_next_report(spliced: Spliced) -> None:
    measures = Measures(["", "other"])
    for _ in range(3):
        measures.examples(spliced, X, made(X))
    assert spliced.model.asked == 1
    measures.report()
    for _ in range(3):
        measures.examples(spliced, X, made(1 - X))
    assert spliced.model.asked == 2
    assert measures.report()["adversarial/input/success"] == 1


def test_examples_are_measured_by_layer_with_loss_and_error() -> None:
    measures, one = Measures(["", "a.b"]), joined()
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    measures.logits(one, logits)
    values = measures.report()
    for key, rows in (("input", slice(2, 4)), ("a.b", slice(4, 5))):
        labels = one.labels[rows]
        loss = sum(-F.log_softmax(z, 0)[y] for z, y in zip(logits[rows], labels, strict=True))
        wrong = [int(z.argmax()) != int(y) for z, y in zip(logits[rows], labels, strict=True)]
        assert values[f"adversarial/{key}/loss"].item() == pytest.approx(loss.item() / len(labels))
        assert values[f"adversarial/{key}/error"].item() == sum(wrong) / len(wrong)
    assert values["adversarial/a.b/loss"].dtype == torch.float32


def test_examples_are_measured_once_until_the_next_report_which_keeps_old_values() -> None:
    measures, one = Measures(["", "a.b"]), joined()
    good, bad = F.one_hot(one.labels, 3) * 9.0, F.one_hot((one.labels + 1) % 3, 3) * 9.0
    measures.logits(one, good)
    measures.logits(one, bad)
    assert measures.report()["adversarial/input/error"] == 0
    assert measures.report()["adversarial/input/error"] == 0
    measures.logits(one, bad.bfloat16())
    assert measures.report()["adversarial/input/error"] == 1


def test_ages_are_reported_as_given() -> None:
    measures = Measures([""])
    measures.ages({"": torch.tensor(3, dtype=torch.float64), "a": torch.tensor(1.5)})
    values = measures.report()
    assert values == {"adversarial/input/age": 3, "adversarial/a/age": 1.5}


def test_share_of_generating_is_reported_once_steps_were_timed() -> None:
    measures = Measures([""])
    assert "adversarial/generating" not in measures.report()
    measures.start_step(CPU)
    with measures.generating(CPU):
        torch.ones(10)
    measures.end_step(CPU)
    assert 0 < measures.report()["adversarial/generating"] < 1


def test_accelerator_is_waited_for_only_while_examples_are_due(
    spliced: Spliced, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waits.append)
    measures, device = Measures([""]), torch.device("meta")
    measures.start_step(device)
    measures.examples(spliced, X, made(X))
    measures.end_step(device)
    assert len(waits) == 2
    measures.start_step(device)
    measures.end_step(device)
    assert len(waits) == 2
    measures.report()
    measures.start_step(device)
    assert len(waits) == 3
