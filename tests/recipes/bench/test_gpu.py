"""The script for GPUs, as it runs without one."""

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lit_intriguing.attacks import BoxLBFGS, Targeted
from lit_intriguing.solvers import Stage
from recipes.bench import gpu

CPU = torch.device("cpu")
SMALL = gpu.Sizes(4, 1, 1000, 1, "squeezenet1_0", 64)


def printed_by(parts: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    gpu.main(["--device", "cpu", "--parts", *parts])
    return capsys.readouterr().out


@pytest.mark.integration
def test_attack_and_steps_are_measured(
    data_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "ON_CPU", SMALL)
    printed = printed_by(["digits", "steps", "graph"], capsys)
    assert all(what in printed for what in ("float32, 4", "bfloat16, 4", "a step with", "graph"))
    assert "FAILED" not in printed


@pytest.mark.slow
def test_photographs_and_bounds_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "ON_CPU", SMALL)
    printed = printed_by(["photographs", "bounds"], capsys)
    assert all(what in printed for what in ("SqueezeNet", "bound of squeezenet1_0"))
    assert "FAILED" not in printed


def test_a_part_that_fails_is_named_and_the_others_still_print(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: torch.device, sizes: gpu.Sizes) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(gpu.PARTS, "bounds", broken)
    with pytest.raises(SystemExit, match="failed: bounds"):
        gpu.main(["--device", "cpu", "--parts", "bounds", "graph"])
    printed = capsys.readouterr()
    assert "| bounds | FAILED: RuntimeError |" in printed.out
    assert "needs a GPU" in printed.out
    assert "| seconds of the whole run | 0: bounds 0, graph 0 |" in printed.out
    assert "out of memory" in printed.err


def ended(code: int, printed: str, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let commands end so; return the list to which they are written."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, code, printed, "no module named pytest")

    monkeypatch.setattr(gpu.subprocess, "run", run)
    return commands


@pytest.mark.parametrize(
    ("device", "words"),
    [("cuda", ["-m", "gpu", "tests"]), ("cpu", ["-m", "not gpu and not slow", "tests/gpu"])],
)
def test_checks_run_all_that_needs_the_device(
    device: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = ended(0, "....\n==== 4 passed in 1.00s ====\n", monkeypatch)
    ((name, found),) = gpu.checks(torch.device(device))
    assert found == "4 passed in 1.00s"
    (command,) = commands
    at = command.index("-q") + 1
    assert command[at : at + len(words)] == words
    assert name == f"`pytest -m '{words[1]}' {words[2]}`"


@pytest.mark.parametrize("printed", ["E  assert False\n1 failed, 3 passed in 1.00s\n", ""])
def test_checks_that_fail_say_so(printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(1, printed, monkeypatch)
    expected = "1 failed, 3 passed(.|\n)*assert False" if printed else "no module named pytest"
    with pytest.raises(RuntimeError, match=expected):
        list(gpu.checks(CPU))


class Small(nn.Module):
    """The logits of ten classes by 16 averages of an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pool, self.last = nn.AdaptiveAvgPool2d(4), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.pool(x).flatten(1))


def photographs_in(folder: Path, count: int) -> Path:
    for at in range(count):
        place = folder / "imagenet" / "sample" / f"class{at}"
        place.mkdir(parents=True)
        Image.new("RGB", (300, 260), (60 * at, 255 - 60 * at, 90)).save(place / "one.png")
    return folder


def test_photographs_of_any_number_of_classes_are_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(photographs_in(tmp_path, 3)))
    monkeypatch.setattr(gpu, "ON_CPU", gpu.Sizes(4, 4, 1000, 1, "", 8))
    monkeypatch.setattr(gpu, "random_network", lambda name: Small())
    monkeypatch.setattr(gpu.images, "SIDE", 32)
    monkeypatch.setattr(gpu.measure, "BARE_SECONDS", 0.01)
    printed = printed_by(["photographs"], capsys)
    for kind in ("float32", "bfloat16"):
        which = "3 of 3 photographs of `imagenet/sample`"
        assert f"{which}, SqueezeNet 1.0 with random weights, {kind}, 4 at once" in printed
    assert "FAILED" not in printed


def test_photographs_are_drawn_and_noise_stands_in_only_where_there_are_none(
    tmp_path: Path,
) -> None:
    folder = photographs_in(tmp_path, 4) / "imagenet" / "sample"
    drawn, name = gpu.pictures(folder, 2)
    assert name == "2 of 4 photographs of `imagenet/sample`"
    assert drawn.shape == (2, 3, 227, 227)
    assert torch.equal(drawn, drawn[..., :1, :1].expand_as(drawn))  # each of one colour
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "empty", tmp_path / "nowhere"):
        noise, name = gpu.pictures(missing, 2)
        assert name == "noise for want of photographs"
        assert noise.shape == (2, 3, 227, 227)


def test_images_come_again_until_there_are_enough_and_ostriches_never() -> None:
    logits = torch.eye(10)[[3, gpu.images.OSTRICH, 5]]
    problems = gpu.toward_ostrich(nn.Identity(), logits, 5)
    assert problems.labels.tolist() == [3, 5, 3, 5, 3]
    assert torch.equal(problems.x, logits[[0, 2, 0, 2, 0]])
    assert problems.targets.tolist() == [gpu.images.OSTRICH] * 5
    with pytest.raises(RuntimeError, match="for an ostrich"):
        gpu.toward_ostrich(nn.Identity(), logits[1:2], 5)


def test_a_bound_stands_beside_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "ON_CPU", gpu.Sizes(4, 1, 1000, 1, "small", 8))
    monkeypatch.setattr(gpu, "random_network", lambda name: Small())
    printed = printed_by(["bounds"], capsys)
    assert "| bound of small, 8 pixels | " in printed
    assert "| bound of small, 8 pixels, beside the CPU's | needs a GPU |" in printed
    assert gpu.beside_the_cpu("small", 8, CPU).startswith("0 off, ")


def test_numbers_that_are_off_by_more_than_rounding_are_an_error() -> None:
    network = Small()
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = gpu.logits_and_gradient(network, x)
    assert [one.shape for one in expected] == [(3, 10), x.shape]
    assert gpu.farthest(gpu.logits_and_gradient(network, x), expected) == 0
    for wrong in (1.001, torch.nan):
        with pytest.raises(RuntimeError, match="off, of the largest"):
            gpu.farthest((expected[0], expected[1] * wrong), expected)


class Traffic(TorchDispatchMode):
    """Counts the numbers that operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result, schema = func(*args, **(kwargs or {})), func._schema
        names = [argument.name for argument in schema.arguments]
        given = dict(zip(names, args, strict=False)) | (kwargs or {})
        view = any(one.alias_info and not one.alias_info.is_write for one in schema.returns)
        # Rows moved one by one are those of rejected trials and of new successes.
        if not view and "index" not in func.name():
            into = [one for one in schema.arguments if one.alias_info and one.name in given]
            only_written = {one.name for one in into if one.is_out or "copy_" in func.name()}
            read = [value for name, value in given.items() if name not in only_written]
            written = [given[one.name] for one in into] or [result]
            self.moved += sum(map(numbers, tree_leaves([read, written])))
        return result


def numbers(value: object) -> int:
    """Return how many numbers a tensor has, not those that it repeats."""
    if not isinstance(value, Tensor):
        return 0
    sizes = zip(value.shape, value.stride(), strict=True)
    return torch.Size(size for size, stride in sizes if stride).numel()


@pytest.mark.parametrize("memory", [3, gpu.MEMORY])
def test_a_step_moves_as_many_vectors_as_counted(memory: int) -> None:
    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                at.append((len(x), traffic.moved))
            return 3 * (x @ weight).tanh()

    at: list[tuple[int, int]] = []
    traffic, generator = Traffic(), torch.Generator().manual_seed(0)
    x, weight = (torch.rand(*shape, generator=generator) for shape in ((10, 30_000), (30_000, 10)))
    weight = (weight - 0.5) / 20
    targets = (3 * (x @ weight)).argmax(1).add(3) % 10
    with traffic:
        short = Stage(smoothing=1.0, tolerance=1e-6, inside=1e-2, steps=6)
        attack = BoxLBFGS(memory=memory, batch_size=10, stages=[short], second_search=False)
        attack(Network(), x, Targeted(targets), bounds=(0.0, 1.0))
    steps = [
        after - before
        for (rows, before), (left, after) in itertools.pairwise(at)
        if rows == left == len(x)
    ]
    network = 2 * x.numel() + 2 * weight.numel()  # what its pass reads and writes
    assert (min(steps) - network) / x.numel() == pytest.approx(gpu.vectors_moved(memory), abs=0.5)
