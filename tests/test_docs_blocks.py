"""Each block of code of the site's own pages runs, or is checked, and says what its page says.

Python runs block by block in one namespace, as a reader would. A command is parsed with its
configurations and options, up to where it would begin to work; `test_docs_commands.py` runs some.
"""

import contextlib
import io
import logging
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch
import pytest
import torch
import yaml
from torch import nn

from lit_intriguing import cli
from lit_intriguing.attacks import GradientAttack, Untargeted
from lit_intriguing.shipped_weights import found_checkpoint
from tests.page_hosts import Quick, YourModule, classes, loader, rows
from tests.pages import DOCS, ROOT, Block, blocks

TUTORIAL, COMING_FROM = DOCS / "tutorial.md", DOCS / "coming_from.md"
NAMES = ("configuration", "dashboards", "lipschitz", "logging", "many_processes", "mathematics")
README = ROOT / "README.md"
PAGES = [README, DOCS / "index.md", TUTORIAL, COMING_FROM, *(DOCS / f"{name}.md" for name in NAMES)]
PAGES += [DOCS / "robustness.md", DOCS / "scale.md"]
PAGES = [page for page in PAGES if page.is_file()] + sorted((DOCS / "howto").glob("*.md"))
LIBRARIES = {"foolbox": "foolbox", "ART": "art", "torchattacks": "torchattacks"}

pytestmark = pytest.mark.skipif(
    not COMING_FROM.is_file(), reason="the pages are in a checkout alone"
)

NAMED, PART = re.compile(r"# (\S+\.yaml)\n"), re.compile(r"# (\S+\.yaml), a part of it\n")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SHORT = pytest.mark.filterwarnings("ignore:The number of training batches")
"""The reader's data are longer."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix().removeprefix("docs/")


def of(page: Path, language: str) -> list[Block]:
    return [one for one in blocks(page) if one.language == language]


def given() -> dict[str, Any]:
    """What the pages say that the reader has."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 3))
    batch = (torch.rand(32, 8), torch.randint(3, (32,)))
    return {
        "__name__": "page",
        "network": network,
        "images": rows(3, 4, 4),
        "labels": classes(),
        "YourModule": YourModule,
        "YourData": lambda: loader(batch),
        "other_network": nn.Linear(8, 3),
        "attack": GradientAttack(eps=0.1),
        "criterion": Untargeted(classes()),
    }


def on_photographs() -> dict[str, Any]:
    """What docs/lipschitz.md has: a network for images of any size."""
    layers = (nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {"network": nn.Sequential(*layers, nn.Linear(4, 3))}


@contextlib.contextmanager
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Give the lines that are printed or logged meanwhile, at the end."""
    lines: list[str] = []
    caplog.clear()
    with contextlib.redirect_stdout(io.StringIO()) as printed, caplog.at_level(logging.INFO):
        yield lines
    lines += printed.getvalue().splitlines()
    lines += [line for record in caplog.records for line in record.getMessage().splitlines()]


def says(line: str, shown: str) -> bool:
    """Return whether a line is the one shown, up to numbers that differ by less than 40%."""
    if NUMBER.sub("#", line) != NUMBER.sub("#", shown):
        return False
    pairs = zip(NUMBER.findall(line), NUMBER.findall(shown), strict=True)
    return all(abs(float(a) - float(b)) <= 0.4 * max(float(a), float(b)) + 0.02 for a, b in pairs)


def run(page_blocks: list[Block], names: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Run blocks one after the other; what stands below one must have been said by it."""
    lines: list[str] = []
    for one in page_blocks:
        if one.language == "python":
            with heard(caplog) as lines:
                exec(compile(one.code, one.heading, "exec"), names)
        elif one.language == "text":
            for shown in one.code.splitlines():
                assert any(says(line, shown) for line in lines), (one.heading, shown, lines)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, and W&B without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path


LONGER = {"README.md", "howto/callbacks.md", "howto/wandb.md"}
WITH_PYTHON = [
    pytest.param(page, marks=pytest.mark.integration) if name_of(page) in LONGER else page
    for page in PAGES
    if of(page, "python") and page not in (COMING_FROM, TUTORIAL)
]


@SHORT
@pytest.mark.filterwarnings("ignore:ExactResume. a run that is resumed within an epoch")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs(
    page: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lightning.pytorch, "Trainer", Quick)
    mine = on_photographs() if page.name == "lipschitz.md" else {}
    run(blocks(page), given() | mine, caplog)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers")
@SHORT
def test_the_tutorial_runs_and_shows_what_it_prints(
    elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(blocks(TUTORIAL), {"__name__": "page"}, caplog)
    assert list(elsewhere.glob("lightning_logs/version_0/examples/*.png"))


def beside(library: str) -> list[Block]:
    """The blocks of a section of the page for those who come from another library."""
    text = COMING_FROM.read_text().split(f"\n## {library}\n")[1].split("\n## ")[0]
    return [
        Block(library, "python", code)
        for code in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_ours_beside_another_library_runs_without_it(
    library: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lightning.pytorch, "Trainer", Quick)
    ours = [one for one in beside(library) if one.code.startswith("# here\n")]
    assert ours
    run(ours, given(), caplog)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", LIBRARIES)
def test_code_beside_another_librarys_runs_with_it(
    library: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(LIBRARIES[library], reason=f"{library} is not installed")
    monkeypatch.setattr(lightning.pytorch, "Trainer", Quick)
    assert beside(library)
    run(beside(library), given(), caplog)


def commands(block: Block) -> list[str]:
    """The command lines of a block, without comments; continued lines are one."""
    text = block.code.replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in re.split(r"\n| && ", text)]
    return [line for line in lines if line and not line.startswith("#")]


ALL_COMMANDS = [
    (page, line) for page in PAGES for one in of(page, "bash") for line in commands(one)
]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("page", "line"), ALL_COMMANDS, ids=[f"{name_of(page)}-{line}" for page, line in ALL_COMMANDS]
)
def test_a_command_of_a_page_is_understood(
    page: Path, line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in of(page, "yaml"):
        if named := NAMED.match(one.code):
            Path(named[1]).write_text(one.code)
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    program = words[0].removeprefix(".venv/bin/")
    check = {
        "lightning": check_command,
        "pip": check_installation,
        "srun": lambda rest: check_command(rest[1:]),
        "torchrun": lambda rest: check_command(rest[rest.index("lit_intriguing") + 1 :]),
        "python": check_files,
        "python3": check_files,
        "pytest": check_files,
        "wandb": check_files,
    }
    assert program in check, f"teach this test to check {program}"
    check[program](words[1:])


def check_files(words: list[str]) -> None:
    """Check that the files of a checkout that a command names are there."""
    for word in words:
        assert (ROOT / word).is_file() or not word.endswith((".py", ".yaml")), word


def check_command(words: list[str]) -> None:
    """Parse a command of ours with all its files; it shows what it would do, and ends."""
    words = [str(found_checkpoint("adv_mnist")) if word == "CHECKPOINT" else word for word in words]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--print_config"])
    assert end.value.code == 0


def check_installation(words: list[str]) -> None:
    """Check that what is installed is this package, with extras that there are."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert words[0] == "install"
    for word in [word for word in words[1:] if word not in ("-q", "-e")]:
        _, asked = re.fullmatch(r"((?:\./)?lit-intriguing|\.)(?:\[(.*)\])?", word).groups()
        assert set((asked or "").split(",")) - {""} <= set(extras)


@pytest.mark.parametrize("page", [page for page in PAGES if of(page, "yaml")], ids=name_of)
def test_the_yaml_of_a_page_is_used_by_a_command_of_it(page: Path) -> None:
    lines = [line for one in of(page, "bash") for line in commands(one)]
    for one in of(page, "yaml"):
        if part := PART.match(one.code):
            whole = yaml.safe_load((ROOT / part[1]).read_text())
            assert contains(whole, yaml.safe_load(one.code)), part[1]
            continue
        named = NAMED.match(one.code)
        assert named, f"{page.name}: begin the block with the file's name"
        assert yaml.safe_load(one.code)
        assert any(named[1] in line for line in lines)


def contains(whole: Any, part: Any) -> bool:
    """Return whether a configuration has all keys of another, with their values."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return whole == part


def test_no_block_is_in_a_language_that_is_not_checked() -> None:
    assert {one.language for page in PAGES for one in blocks(page)} <= {
        "python",
        "bash",
        "yaml",
        "text",
    }


def test_every_page_of_the_site_with_code_is_checked_here_or_by_name() -> None:
    """A new page with code goes into PAGES."""
    elsewhere = {"adversarial_training.md", "schemes.md", "images.md"}
    with_code = {name_of(page) for page in (README, *DOCS.rglob("*.md")) if blocks(page)}
    assert with_code - elsewhere == {name_of(page) for page in PAGES if blocks(page)}
