"""Chromium draws the page without a word of complaint, on a laptop and on a phone."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.report.test_page import page, some_of_a_full_one

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
FRAME = """<html><head><title></title></head><body><script>
const frame = document.createElement("iframe");
frame.width = WIDTH;
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("PAGE"), c => c.charCodeAt(0)));
frame.onload = () => { document.title = frame.contentDocument.documentElement.scrollWidth; };
document.body.append(frame);
</script></body></html>"""
"""A window without a frame is at least 500 pixels wide in Chromium."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def chromium(file: Path, *options: str, width: int = 1280) -> subprocess.CompletedProcess[str]:
    """Open a file in a browser without a window, with a profile of its own."""
    profile = file.parent / f"profile_of_{file.stem}"
    place = [f"--user-data-dir={profile}", f"--window-size={width},900"]
    command = [str(CHROMIUM), *OPTIONS, *place, *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)


def complaints(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = some_of_a_full_one(tmp_path_factory.mktemp("browser"))
    page(folder)
    return folder / "report.html"


def test_a_page_that_asks_somebody_is_noticed_here(tmp_path: Path, report: Path) -> None:
    text = report.read_text().replace("<body", '<img src="http://example.invalid/x.png"><body', 1)
    (tmp_path / "asks.html").write_text(text)
    assert complaints(chromium(tmp_path / "asks.html", "--dump-dom"))


@pytest.mark.parametrize("width", [1280, 500])
def test_the_browser_draws_the_page_and_has_no_complaint(
    report: Path, tmp_path: Path, width: int
) -> None:
    picture = tmp_path / "page.png"
    assert complaints(chromium(report, f"--screenshot={picture}", width=width)) == []
    with Image.open(picture) as drawn:
        assert drawn.width == width
        assert drawn.convert("L").getextrema() != (255, 255)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(report: Path, tmp_path: Path, width: int) -> None:
    code = base64.b64encode(report.read_bytes()).decode()
    copy = FRAME.replace("WIDTH", str(width)).replace("PAGE", code)
    (tmp_path / "copy.html").write_text(copy)
    dom = chromium(tmp_path / "copy.html", "--dump-dom").stdout
    assert 0.8 * width < int(re.search(r"<title>(\d+)</title>", dom)[1]) <= width
