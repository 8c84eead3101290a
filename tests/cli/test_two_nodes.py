"""Commands on two nodes of one process each, by torchrun and as under SLURM, on this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_intriguing.models.weights import read_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = ["-m", "lit_intriguing"]
NODES = ["--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp"]
FIT = ["fit", "--config=adv_digits", "--trainer.max_epochs=2", "--test_after_fit=false"]
ATTACK = [
    "attack", "--config=adv_digits", "--limit=60", "--chunk=20", "--attack=GradientAttack",
    "--attack.eps=2.0",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def by_torchrun(node: int, port: int) -> tuple[list[str], dict[str, str]]:
    """Start a node as `torchrun` does on a machine of its own."""
    place = ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--local-addr=localhost"]
    nodes = ["--nnodes=2", "--nproc-per-node=1"]
    return [sys.executable, "-m", "torch.distributed.run", *nodes, *place, *PROGRAM], {}


def by_slurm(node: int, port: int) -> tuple[list[str], dict[str, str]]:
    """Start a task with the variables that `srun --nodes=2 --ntasks-per-node=1` sets."""
    of_job = {"JOB_ID": port, "JOB_NAME": "train", "NNODES": 2, "NODELIST": "localhost"}
    of_task = {"NTASKS": 2, "NTASKS_PER_NODE": 1, "PROCID": node, "LOCALID": 0, "NODEID": node}
    variables = {f"SLURM_{name}": str(value) for name, value in (of_job | of_task).items()}
    return [sys.executable, *PROGRAM], {**variables, "MASTER_PORT": str(port)}


Start = Callable[[int, int], tuple[list[str], dict[str, str]]]


def start(command: list[str], variables: dict[str, str], folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def end(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out + err


def run_on_two_nodes(starting: Start, arguments: list[str], folder: Path) -> list[str]:
    folder.mkdir()
    port = free_port()
    commands = [starting(node, port) for node in (0, 1)]
    nodes = [start([*words, *arguments, *NODES], given, folder) for words, given in commands]
    return [end(one) for one in nodes]


def run_here(arguments: list[str], folder: Path) -> None:
    folder.mkdir()
    end(start([sys.executable, *PROGRAM, *arguments], {}, folder))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.rglob("*.ckpt")
    state: dict[str, torch.Tensor] = read_checkpoint(path)["state_dict"]
    return state


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands give on one node."""
    folder = tmp_path_factory.mktemp("here")
    run_here([*FIT, "--trainer.devices=2", "--trainer.strategy=ddp"], folder / "fit")
    run_here([*ATTACK, "--output=out"], folder / "attack")
    return folder


STARTS = pytest.mark.parametrize(
    "starting",
    [
        pytest.param(by_torchrun, id="torchrun"),
        pytest.param(by_slurm, id="SLURM"),
    ],
)


@STARTS
def test_adversarial_training_ends_with_the_bits_of_two_processes_on_one_node(
    starting: Start, here: Path, tmp_path: Path
) -> None:
    said = run_on_two_nodes(starting, FIT, tmp_path / "fit")
    assert sum("weights" in one for one in said) == 1  # the first node says where they are
    expected, found = weights(here / "fit"), weights(tmp_path / "fit")
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@STARTS
def test_an_attack_gives_the_bits_of_one_process(
    starting: Start, here: Path, tmp_path: Path
) -> None:
    run_on_two_nodes(starting, [*ATTACK, "--output=out"], tmp_path / "attack")
    one, two = (folder / "attack" / "out" / "examples.pt" for folder in (here, tmp_path))
    assert one.read_bytes() == two.read_bytes()
