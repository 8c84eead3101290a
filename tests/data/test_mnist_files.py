import socket
from pathlib import Path

import pytest
import torchvision

from lit_intriguing.data import mnist_files
from lit_intriguing.errors import UserError
from tests.data.mnist_stand_in import accept, contents, write

FILES = contents(30)


@pytest.fixture(autouse=True)
def _nothing_but_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(mnist_files.DATA_VARIABLE, raising=False)
    accept(FILES, monkeypatch)


@pytest.mark.parametrize("below", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_files_are_found_in_and_below_the_folder_packed_or_not(
    tmp_path: Path, below: str, packed: bool
) -> None:
    write(tmp_path / "data" / below, FILES, packed)
    paths = mnist_files.find(tmp_path / "data")
    assert paths is not None
    for name, path in paths.items():
        rows = 30 if name.startswith("train") else 20
        assert len(mnist_files.read(name, path)) == rows


def test_the_folder_given_comes_before_the_variable_and_that_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, variable = tmp_path / "given", tmp_path / "variable"
    monkeypatch.setenv(mnist_files.DATA_VARIABLE, str(variable))
    for folder in (tmp_path / "cache" / "lit-intriguing", variable, given):
        write(folder, FILES)
        paths = mnist_files.find(given)
        assert paths is not None
        assert {path.parent for path in paths.values()} == {folder}


def test_a_folder_without_all_four_files_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "data", dict(list(FILES.items())[:3]))
    assert mnist_files.find(tmp_path / "data") is None


def test_another_file_of_the_name_is_refused_with_both_checksums(tmp_path: Path) -> None:
    name = "t10k-labels-idx1-ubyte"
    write(tmp_path, {**FILES, name: FILES[name][:-1] + b"\x01"})
    with pytest.raises(UserError, match=r"t10k-labels.*md5 of its contents is \w{32}, not ") as it:
        mnist_files.read(name, tmp_path / f"{name}.gz")
    assert mnist_files.CHECKSUMS[name] in str(it.value)


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_a_packed_file_cut_short_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    write(tmp_path, FILES)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"train-images.*md5") as it:
        mnist_files.read("train-images-idx3-ubyte", path)
    assert mnist_files.CHECKSUMS["train-images-idx3-ubyte"] in str(it.value)


def test_a_fetch_lands_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: str, download: bool) -> None:
        assert download
        assert socket.getdefaulttimeout() is not None
        write(Path(root) / "MNIST" / "raw", FILES)

    before = socket.getdefaulttimeout()
    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    mnist_files.download(None)
    folder = tmp_path / "cache" / "lit-intriguing" / "MNIST" / "raw"
    assert {path.parent for path in mnist_files.require(None).values()} == {folder}
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize(
    "error", [RuntimeError("Error downloading x:\nno host"), OSError("no route")]
)
def test_a_fetch_that_fails_names_the_three_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fetch(root: str, download: bool) -> None:
        folder = Path(root) / "MNIST" / "raw"
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"a part")
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    with pytest.raises(UserError) as it:
        mnist_files.download(tmp_path / "given")
    message = str(it.value)
    assert " ".join(str(error).split()) in message.splitlines()[0]
    assert str(tmp_path / "given") in message
    assert "train-images-idx3-ubyte.gz" in message
    assert str(tmp_path / "cache" / "lit-intriguing" / "MNIST" / "raw") in message
    assert "LIT_INTRIGUING_DATA" in message
    assert "lightning fit --config recipes/adv_digits.yaml" in message
    assert not list(tmp_path.rglob("*.gz"))


def test_a_cache_that_cannot_be_written_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="Three ways out"):
        mnist_files.download(None)


def test_missing_files_are_an_error_where_nothing_is_fetched() -> None:
    with pytest.raises(UserError, match=r"MNIST: not found \(searched: .*lit-intriguing"):
        mnist_files.require(None)
