"""What a wheel carries, and how shipped files are found."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from lit_intriguing import shipped_weights
from lit_intriguing.configuration import shipped
from lit_intriguing.errors import UsageError

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built as an installer would and unpacked as it would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.integration
def test_a_wheel_carries_every_configuration_and_the_type_marker(unpacked: Path) -> None:
    for name in shipped.names():
        assert (unpacked / "lit_intriguing" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (unpacked / "lit_intriguing" / "py.typed").is_file()
    assert not (unpacked / "tests").exists()


@pytest.mark.integration
def test_a_wheel_carries_the_weights_and_no_benchmarks(unpacked: Path) -> None:
    inside = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    assert {f"lit_intriguing/weights/{name}.ckpt" for name in shipped_weights.names()} <= inside
    assert not [name for name in inside if "bench" in name or ".gitkeep" in name]
    whole = sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file())
    assert whole < 10e6


@pytest.mark.integration
def test_a_wheel_carries_what_report_and_reproduce_read(unpacked: Path) -> None:
    package = unpacked / "lit_intriguing"
    for file in filter(Path.is_file, (ROOT / shipped.RESULTS).rglob("*")):
        assert (package / file.relative_to(ROOT)).read_bytes() == file.read_bytes()
    templates = package / "commands" / "report" / "templates"
    assert {file.name for file in templates.iterdir()} == {"report.html", "parts.html", "style.css"}


@pytest.mark.integration
def test_the_description_has_nothing_that_a_package_index_cannot_show(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    head, _, text = metadata.read_text().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert "Project-URL: Paper, https://arxiv.org/abs/1312.6199" in head
    assert text.startswith("# lit-intriguing")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []
    assert "](https://arxiv.org/abs/1312.6199)" in text


@pytest.mark.integration
def test_the_wheel_answers_from_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        "from lit_intriguing import cli\n"
        "import lit_intriguing; print(lit_intriguing.__file__)\n"
        "cli.main(sys.argv[1:])"
    )
    words = ["lipschitz", "--ckpt_path=fc10_1", "--input_shape=[1,28,28]"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(unpacked))
    assert "network, product bound: " in done.stdout


@pytest.mark.integration
def test_an_installed_wheel_finds_its_files_from_anywhere(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "from lit_intriguing.configuration import shipped\n"
        "print(shipped.find('configs/logger/csv.yaml'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = unpacked / "lit_intriguing" / "configs" / "logger" / "csv.yaml"
    assert done.stdout.strip() == str(expected)


@pytest.mark.parametrize(
    "name", ["configs/logger/csv.yaml", "configs/logger/csv", "logger/csv.yaml", "logger/csv"]
)
def test_a_shipped_file_has_short_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(shipped.find(name)) == ROOT / "configs" / "logger" / "csv.yaml"


def test_recipes_are_found_by_their_bare_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "claim.yaml").touch()
    monkeypatch.setattr(shipped, "root", lambda: tmp_path)
    for name in ("recipes/claim.yaml", "recipes/claim", "claim.yaml", "claim"):
        assert Path(shipped.find(name)) == tmp_path / "recipes" / "claim.yaml"


def test_a_file_on_disk_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logger").mkdir()
    (tmp_path / "logger" / "csv.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert shipped.find("logger/csv.yaml") == "logger/csv.yaml"


@pytest.mark.parametrize("name", ["{trainer: {max_epochs: 3}}", "https://example.org/x.yaml"])
def test_text_and_web_addresses_are_left_alone(name: str) -> None:
    assert shipped.find(name) == name


def test_an_absolute_path_is_never_looked_for_in_the_package() -> None:
    with pytest.raises(UsageError, match=r"no file '/configs/logger/csv\.yaml'"):
        shipped.find("/configs/logger/csv.yaml")


def test_both_scripts_are_declared_and_installed() -> None:
    for name in ("lightning", "lit-intriguing"):
        targets = {e.value for e in entry_points(group="console_scripts", name=name)}
        assert PROJECT["scripts"][name] in targets


def test_the_malicious_uploads_of_lightning_are_excluded() -> None:
    (pin,) = [d for d in PROJECT["dependencies"] if d.startswith("lightning")]
    assert pin == "lightning>=2.6.1,!=2.6.2,!=2.6.3,<2.7"
