"""TorchScript, quantised and compiled networks under the callbacks that measure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    Convergence,
    ExactResume,
    LipschitzMonitor,
    PerturbedLayer,
    RobustnessEvaluation,
    RunProgress,
    TrainingError,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError

pytestmark = [
    pytest.mark.integration,  # compiles
    pytest.mark.filterwarnings("ignore:.*torch.(jit|ao.quantization|quantize_).*"),
    pytest.mark.filterwarnings("ignore:quantized..linear_dynamic. an autograd kernel"),
    pytest.mark.filterwarnings("ignore:Training ended after 2 evaluations"),
    pytest.mark.filterwarnings("ignore:LipschitzMonitor knows no bound"),
    pytest.mark.filterwarnings("ignore:Untrained control"),
    pytest.mark.filterwarnings("ignore:Found . module.* in eval mode"),
]

N, FEATURES, CLASSES = 24, 6, 3
ATTACK = GradientAttack(0.1)
Make = Callable[[], Any]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 8)
    )


class Host(LightningModule):
    rate = 0.1

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head = body, nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(network().eval(), {nn.Linear})


def compiled_in_place() -> Host:
    host = Host(network())
    host.compile(backend="aot_eager")
    return host


KINDS: dict[str, Make] = {
    "scripted": lambda: Host(torch.jit.script(network())),
    "traced": lambda: Host(torch.jit.trace(network().eval(), torch.rand(4, FEATURES))),
    "quantised": lambda: Host(quantised()),
    "compiled": lambda: Host(torch.compile(network(), backend="aot_eager")),
    "compiled whole": lambda: torch.compile(Host(network()), backend="aot_eager"),
    "compiled in place": compiled_in_place,
}
COMPILED = [kind for kind in KINDS if kind.startswith("compiled")]

MEASURING: dict[str, Callable[[Path], Any]] = {
    "input": lambda at: AdversarialExamples(ATTACK, examples=6, dirpath=at),
    "layer": lambda at: AdversarialExamples(ATTACK, examples=6, layer="body", dirpath=at),
    "inner layer": lambda at: AdversarialExamples(ATTACK, examples=6, layer="body.0", dirpath=at),
    "robustness": lambda at: RobustnessEvaluation(
        {"one": ATTACK}, {"l2": [ATTACK.eps]}, examples=6, dirpath=at
    ),
    "transfer": lambda at: TransferEvaluation(ATTACK, examples=6, dirpath=at),
    "lipschitz": lambda at: LipschitzMonitor(1, dirpath=at),
    "units": lambda at: UnitAnalysis(["body"], examples=24, k=3, rotations=2, dirpath=at),
    "inner units": lambda at: UnitAnalysis(["body.0"], examples=24, k=3, rotations=2, dirpath=at),
    "error": lambda at: TrainingError(),
    "convergence": lambda at: Convergence(),
    "resume": lambda at: ExactResume(),
    "progress": lambda at: RunProgress(),
}
HOOKED = {"layer", "inner layer", "units", "inner units"}
ROUNDED = {"input", "inner layer", "robustness", "transfer"}


def reason(kind: str, name: str) -> str:
    """Return what a refusal says; nothing where it works."""
    if kind in ("scripted", "traced") and name in HOOKED:
        return r"is compiled by TorchScript, which takes no hooks\. Name"
    if kind == "quantised" and name in ROUNDED:
        return r"body\.0 is quantised, and .* no gradient .*: quantise after training, or"
    return ""


def fit(make: Make, *callbacks: Any) -> tuple[Any, Trainer]:
    host = make()
    run = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(one, RunProgress) for one in callbacks),
        callbacks=list(callbacks),
    )
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(N, FEATURES, generator=generator), torch.arange(N) % CLASSES
    torch.manual_seed(3)
    run.fit(host, TensorLoader(x, y, N))
    return host, run


def state(host: Any) -> dict[str, Tensor]:
    return {k: v for k, v in host.state_dict().items() if isinstance(v, Tensor)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_and_changes_nothing_or_says_why_not(kind: str, tmp_path: Path) -> None:
    alone = state(fit(KINDS[kind])[0])
    for name, make in MEASURING.items():
        callback = make(tmp_path / name)
        why = reason(kind, name)
        if why:
            with pytest.raises(UserError, match=why):
                fit(KINDS[kind], callback)
            continue
        host, run = fit(KINDS[kind], callback)
        beside = state(host)
        assert all(torch.equal(alone[key], beside[key]) for key in alone), name
        measured = getattr(callback, "errors", run.callback_metrics)
        assert measured or name in ("resume", "progress"), name


def test_compiled_networks_give_the_numbers_of_uncompiled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Training would carry roundings apart.
    monkeypatch.setattr(Host, "rate", 0.0)
    makes = [MEASURING[name] for name in ("inner layer", "inner units", "lipschitz")]
    wanted = fit(lambda: Host(network()), *(make(tmp_path) for make in makes))[1].callback_metrics
    for kind in COMPILED:
        found = fit(KINDS[kind], *(make(tmp_path) for make in makes))[1].callback_metrics
        assert found.keys() == wanted.keys()
        for key in wanted:
            torch.testing.assert_close(found[key], wanted[key], rtol=1e-4, atol=1e-5)


def test_a_measurement_compiles_nothing(tmp_path: Path) -> None:
    graphs = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    def compiled() -> Host:
        return Host(torch.compile(network(), backend=backend))

    torch.compiler.reset()
    fit(compiled)
    alone, graphs = graphs, 0
    torch.compiler.reset()
    names = MEASURING.keys() - {"error", "inner units", "progress"}
    fit(compiled, *(MEASURING[name](tmp_path) for name in names))
    assert graphs == alone > 0


def test_a_scripted_or_quantised_part_is_unbounded_with_its_reason(tmp_path: Path) -> None:
    for kind, why in (
        ("scripted", r"body .* is compiled by TorchScript"),
        ("quantised", r"body\.0 \(Linear\) is quantised, and rounding has no Lipschitz constant"),
    ):
        with pytest.warns(UserWarning, match=f"logs infinity.*{why}"):
            _, run = fit(KINDS[kind], MEASURING["lipschitz"](tmp_path))
        assert run.callback_metrics["lipschitz/network"].isinf()
        assert run.callback_metrics["lipschitz/head"].isfinite()


def test_a_quantised_reference_is_attacked_through_the_others(tmp_path: Path) -> None:
    other = nn.Sequential(network(), nn.Linear(8, CLASSES)).eval()
    rounded = torch.ao.quantization.quantize_dynamic(other, {nn.Linear})
    callback = TransferEvaluation(
        ATTACK, {"float": other, "rounded": rounded}, examples=6, dirpath=tmp_path
    )
    with pytest.warns(UserWarning, match="no adversarial examples for the reference 'rounded'"):
        _, run = fit(lambda: Host(network()), callback)
    names = {name.removeprefix("transfer/") for name in run.callback_metrics}
    assert {"to/float", "from/float", "to/rounded"} <= names
    assert "from/rounded" not in names


def test_the_control_of_a_quantised_network_says_what_it_keeps(tmp_path: Path) -> None:
    message = r"Untrained control: body\.0, body\.4 are quantised and keep their weights"
    with pytest.warns(UserWarning, match=message):
        fit(KINDS["quantised"], MEASURING["units"](tmp_path))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("layer", ["", "body.0"])
@pytest.mark.parametrize("keep_out", [None, True])
@pytest.mark.parametrize("kind", ["compiled", "compiled in place"])
def test_compiled_networks_train_on_examples_of_the_input_and_of_layers_inside(
    kind: str, keep_out: bool | None, layer: str
) -> None:
    torch.compiler.reset()  # a graph of another network of this shape has no hooks
    make = {"compiled": KINDS["compiled"], "compiled in place": compiled_in_place}[kind]
    one = PerturbedLayer(ATTACK, pool=N, mix=N, refresh=N)
    callback = AdversarialTraining({layer: one}, keep_out=keep_out)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(N, FEATURES, generator=generator), torch.arange(N) % CLASSES
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=False, callbacks=[callback],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(make(), TensorLoader(x, y, N))
    assert len(callback.pools.by_layer[layer]) == N
    assert trainer.callback_metrics[f"adversarial/{layer or 'input'}/distortion"] > 0
