import json
from pathlib import Path

import pytest

from lit_intriguing.data.images.classes import (
    classes_from,
    named_in,
    one_against_the_rest,
    read_classes,
)
from lit_intriguing.errors import UserError

IMAGENET = {"0": ["n1", "tench"], "1": ["n2", "crane"], "2": ["n3", "crane"]}


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '["cat", "dog"]'),
        ("b.json", '{"1": "dog", "0": "cat"}'),
        ("c.json", '{"dog": 1, "cat": 0}'),
        ("d.json", '{"0": ["n01", "cat"], "1": ["n02", "dog"]}'),
        ("e.csv", "label,name\n1,dog\n0,cat\n"),
        ("f.csv", "cat\ndog\n"),
        ("g.csv", "n01,cat\nn02,dog\n"),
        ("h.txt", "cat\ndog\n"),
    ],
)
def test_each_form_of_a_file_gives_the_same_labels(tmp_path: Path, name: str, text: str) -> None:
    classes = read_classes(written(tmp_path, name, text))
    assert classes.names == ("cat", "dog")
    assert [classes.label(one) for one in ("dog", "cat", "1")] == [1, 0, 1]


def test_imagenets_usual_file_knows_folders_and_unambiguous_names(tmp_path: Path) -> None:
    classes = read_classes(written(tmp_path, "imagenet_class_index.json", json.dumps(IMAGENET)))
    assert classes.names == ("tench", "crane", "crane")
    assert [classes.label(name) for name in ("n3", "n2", "tench")] == [2, 1, 0]
    with pytest.raises(UserError, match="'crane' is none of the 3 classes"):
        classes.label("crane")


def test_lines_of_a_text_are_known_by_their_first_word_too(tmp_path: Path) -> None:
    synsets = "n01440764 tench, Tinca tinca\nn01443537 goldfish\n"
    classes = read_classes(written(tmp_path, "synsets.txt", synsets))
    assert classes.label("n01443537") == 1
    words = read_classes(written(tmp_path, "words.txt", "polar bear\npolar fox\n"))
    assert words.label("polar fox") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"0": "a", "2": "b"}', "labels 0 to 1, once"),
        ('["a", "a"]', "the class 'a' twice"),
        ("[]", "names no class"),
        ("3", "neither a list nor a mapping"),
        ("{", "cannot be read as a file of classes"),
    ],
)
def test_files_that_do_not_name_classes_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_classes(written(tmp_path, "a.json", text))


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"no file of classes 'none\.json'"):
        read_classes("none.json")


def test_unknown_classes_are_all_told_with_the_nearest() -> None:
    classes = read_classes(["tench", "goldfish"])
    with pytest.raises(UserError, match=r"2 classes .* none of the 2 .*: goldfisch, zebra\.") as e:
        classes.labels_of(["tench", "goldfisch", "zebra"], Path("here"))
    assert "Did you mean 'goldfish'?" in str(e.value)


def test_one_class_against_the_rest() -> None:
    classes = one_against_the_rest(classes_from([["a"], ["b"], ["c"]], "here"), "b")
    assert classes.names == ("rest", "b")
    assert classes.labels_of(["a", "b", "c"], Path()) == [0, 1, 0]
    with pytest.raises(UserError, match=r"'d' is none of the 3 classes"):
        one_against_the_rest(classes_from([["a"], ["b"], ["c"]], "here"), "d")


def test_numbers_in_a_file_of_labels_keep_their_value() -> None:
    assert named_in(["7", "2", "10"], "labels").labels_of(["10", "2"], Path()) == [10, 2]
    assert named_in(["dog", "cat"], "labels").names == ("cat", "dog")


@pytest.mark.parametrize("name", ["cat", "dog", "owl"])
def test_labels_in_digits_are_told_from_the_rest_as_names_are(name: str) -> None:
    whole = classes_from([["cat"], ["dog"], ["owl"]], "here")
    binary = one_against_the_rest(whole, name)
    for label, each in enumerate(whole.names):
        assert binary.label(each) == binary.label(str(label)) == binary.label(f"0{label}")
        assert binary.label(each) == int(each == name)
    with pytest.raises(UserError, match="'3' is none"):
        binary.label("3")
    # Digits that name classes come before digits that number them.
    digits = one_against_the_rest(classes_from([["1"], ["0"]], "here"), "1")
    assert [digits.label(one) for one in ("1", "0")] == [1, 0]
