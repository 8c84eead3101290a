"""The script for GPUs, as it runs without one."""

import pytest
import torch

from recipes.bench import gpu

SMALL = gpu.Sizes(4, 1, 400, 1, "squeezenet1_0", 64)


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
    assert "out of memory" in printed.err
