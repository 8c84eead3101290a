"""The example of the page on images runs as it stands, on a small folder."""

import re
from pathlib import Path

import pytest

from lit_intriguing import cli
from tests.data.images.folders import class_folders
from tests.pages import DOCS, blocks

PAGE = DOCS / "images.md"

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the pages are in a checkout alone"),
    pytest.mark.integration,
]


def block(language: str) -> str:
    return next(one.code for one in blocks(PAGE) if one.language == language)


def test_the_page_s_configuration_trains_and_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    class_folders(tmp_path / "photographs", {"cat": 8, "dog": 8}, size=40)
    (tmp_path / "photographs.yaml").write_text(block("yaml"))
    command = block("bash").split()
    assert command[0] == "lightning"
    short = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.devices=1"]
    quiet = [
        "--trainer.logger=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    cli.main([*command[1:], *short, *quiet, "--data.batch_size=4"])
    assert re.search(r"^test error [\d.]+%$", capsys.readouterr().out, re.M)


def test_the_page_names_options_that_there_are() -> None:
    import inspect

    from lit_intriguing.data import ImageFolder

    named = {"folder", "classes", "labels", "binary", "crop", "flip", "in_memory", "unreadable"}
    text = PAGE.read_text()
    assert named <= set(inspect.signature(ImageFolder).parameters)
    assert all(f"`{name}" in text for name in named)
