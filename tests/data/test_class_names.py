import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lit_intriguing.data.class_names import class_names, names_of_data
from lit_intriguing.errors import UserError


def names_in(folder: Path, file: str, content: str) -> list[str]:
    (folder / file).write_text(content, encoding="utf-8")
    return class_names(str(folder / file))


def test_imagenet_needs_no_file() -> None:
    names = class_names("imagenet")
    assert len(set(names)) == 1000
    assert names[9] == "ostrich"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.txt", "tench\ngreat white shark\n"),
        ("synset_words.txt", "n01440764 tench, Tinca tinca\nn01484850 great white shark\n\n"),
        ("list.json", json.dumps(["tench", "great white shark, man-eater"])),
        ("mapping.json", json.dumps({"1": "great white shark", "0": "tench"})),
        (
            "imagenet_class_index.json",
            json.dumps({"0": ["n01440764", "tench"], "1": ["n01484850", "great_white_shark"]}),
        ),
    ],
)
def test_usual_files_give_the_first_name_of_each_class(
    file: str, content: str, tmp_path: Path
) -> None:
    assert names_in(tmp_path, file, content) == ["tench", "great white shark"]


def test_a_file_is_found_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_in(tmp_path, "names.txt", "cat\ndog")
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(tmp_path))
    assert class_names("names.txt") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("names.json", "[1, 2]", "holds no names of classes"),
        ("names.json", "{", "holds no names of classes"),
        ("names.json", '{"a": "cat"}', "holds no names of classes"),
        ("names.json", '"cat"', "neither a list nor a mapping"),
        ("names.json", '["ant", " ", "cat"]', "holds no names of classes .class 1 has no name"),
        ("names.json", '[["n1", "ant"], []]', "class 1 has no name"),
        ("names.json", "[[]]", "class 0 has no name"),
        ("names.txt", "\n \n", "is empty: give a file with a name a line"),
    ],
)
def test_files_that_hold_no_names_are_refused(
    file: str, content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        names_in(tmp_path, file, content)


def test_a_missing_file_is_refused_and_the_advice_works() -> None:
    with pytest.raises(UserError, match=r"No such file or directory\): give .*, or imagenet\."):
        class_names("imagnet")
    assert class_names("imagenet")


def test_data_may_name_its_classes() -> None:
    assert names_of_data(SimpleNamespace(class_names=("a", "b"))) == ("a", "b")
    assert names_of_data(SimpleNamespace(class_names="names.txt")) is None
    assert names_of_data(SimpleNamespace()) is None


@pytest.mark.parametrize(
    ("file", "content"), [("a.txt", "ant\n\ncat\n"), ("a.json", '["ant", "cat"]')]
)
def test_a_mark_of_byte_order_is_no_part_of_the_first_name(
    file: str, content: str, tmp_path: Path
) -> None:
    assert names_in(tmp_path, file, f"\ufeff{content}") == ["ant", "cat"]
