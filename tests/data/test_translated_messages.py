"""Messages in several languages: of a small package in django's place, and of the real one."""

import re
import struct
from pathlib import Path

import pytest
import torch

from lit_intriguing.data import TranslatedMessages
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.data.translated_messages import PADDING, TOKENS, UNKNOWN
from lit_intriguing.errors import UserError

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def catalogue(messages: dict[str, str]) -> bytes:
    """A file as GNU gettext reads it: magic number, counts, and tables of lengths and places."""
    pairs = sorted((k.encode(), v.encode()) for k, v in messages.items())
    head, tables, text = 28, 16 * len(pairs), b""
    places = [], []
    for table, column in zip(places, zip(*pairs, strict=True), strict=True):
        for one in column:
            table.append((len(one), head + tables + len(text)))
            text += one + b"\0"
    numbers = [part for table in places for pair in table for part in pair]
    start = struct.pack("<7I", 0x950412DE, 0, len(pairs), head, head + 8 * len(pairs), 0, 0)
    return start + struct.pack(f"<{len(numbers)}I", *numbers) + text


def write_package(folder: Path) -> None:
    """A package `django` with 40 messages in two languages, and some that are no texts."""
    (folder / "django").mkdir()
    (folder / "django" / "__init__.py").write_text("raise RuntimeError('imported')")
    for language, word in (("xx", "ähnlich"), ("yy", "autrement")):
        messages = {
            "": "Content-Type: text/plain; charset=UTF-8\n",
            "short": f"{word}",
            "not translated here": "not translated here",
            "marked": f"%(name)s: <b>{word}</b> {word} 12 {word}",
            **{f"message {i}": f"{word} {LETTERS[i % 26]} {word} {i // 26}" for i in range(26)},
            **{f"other {i}": f"{LETTERS[i]}{LETTERS[i]} {word} {word}" for i in range(14)},
        }
        place = folder / "django" / "locale" / language / "LC_MESSAGES"
        place.mkdir(parents=True)
        (place / "django.mo").write_bytes(catalogue(messages))


@pytest.fixture
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def data(**options: object) -> TranslatedMessages:
    return TranslatedMessages(**{"languages": ["xx", "yy"], "length": 36, **options})


def parts(one: TranslatedMessages) -> list[Split]:
    training, held_out = one.load_training()
    return [training, *([] if held_out is None else [held_out]), one.load_test()]


def texts(one: TranslatedMessages, split: Split) -> list[str]:
    return ["".join(map(one.word, row)) for row in split.inputs.tolist()]


@pytest.mark.usefixtures("_package")
def test_texts_are_those_that_are_translated_and_long_enough_without_markup() -> None:
    one = data(validation=0.25)
    found = [text for part in parts(one) for text in texts(one, part)]
    assert len(found) == 2 * 41
    assert ": ähnlich ähnlich ähnlich" in found
    assert "autrement a autrement" in found
    assert not any("translated" in text or "text/plain" in text for text in found)


@pytest.mark.usefixtures("_package")
def test_a_message_and_its_translation_are_in_one_part_alone() -> None:
    one = data(validation=0.25)
    without_words = []
    for part in parts(one):
        left = [re.sub("ähnlich|autrement", "", text).strip() for text in texts(one, part)]
        # Each message twice, once in each language.
        assert part.labels.bincount().tolist() == [len(set(left))] * 2
        without_words.append(set(left))
    assert len(set.union(*without_words)) == sum(map(len, without_words)) == 41


@pytest.mark.usefixtures("_package")
def test_parts_depend_on_the_split_seed_alone_and_the_test_not_on_the_validation() -> None:
    assert torch.equal(parts(data())[-1].inputs, parts(data(validation=0.3, seed=4))[-1].inputs)
    assert not torch.equal(parts(data())[-1].inputs, parts(data(split_seed=1))[-1].inputs)


@pytest.mark.usefixtures("_package")
def test_batches_are_mappings_with_a_mask_of_the_characters() -> None:
    one = data(batch_size=7)
    one.setup("fit")
    batch = one.on_after_batch_transfer(next(iter(one.train_dataloader())), 0)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (7, 36)
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == PADDING)
    assert set(batch["labels"].tolist()) <= {0, 1}
    assert int(batch["input_ids"].max()) < TOKENS


@pytest.mark.usefixtures("_package")
def test_a_language_without_a_translation_is_said() -> None:
    with pytest.raises(UserError, match="no translation into 'zz'"):
        data(languages=["xx", "zz"]).load_test()


def test_a_missing_package_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install django"):
        TranslatedMessages().load_test()


@pytest.mark.parametrize(
    "options",
    [
        {"languages": ["da"]},
        {"languages": ["da", "da"]},
        {"length": 5},
        {"test": 0.0},
        {"test": 0.6, "validation": 0.4},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"must be|are shares"):
        data(**options)


def test_the_real_messages_are_some_hundred_in_each_language_and_their_letters_are_known() -> None:
    pytest.importorskip("django")
    for part in parts(TranslatedMessages()):
        assert part.labels.bincount().min() > 90
        assert ((part.inputs == UNKNOWN).sum() / (part.inputs != PADDING).sum()) < 0.005
