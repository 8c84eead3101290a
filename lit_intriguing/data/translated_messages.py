"""Messages of Django in several languages: in which language is a short text?"""

import functools
import importlib.util
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError

LANGUAGES = ("ca", "cs", "da", "es", "gl", "it", "nb", "pt", "sk", "sv")
"""Languages that are easily taken for another of them."""

PADDING, UNKNOWN = 0, 1
"""Tokens that are no character."""

ALPHABET = " abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïñòóôõöøùúûüýčďěĺľňŕřšťůžŀ·'-,.;:!?"
"""Characters with a token of their own, from 2 on."""

TOKENS = 2 + len(ALPHABET)
"""Size of the vocabulary."""

_LEAST = 12
"""Letters of the shortest text."""

_NO_TEXT = re.compile(
    r"%\([^)]*\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]*>|&[a-z]+;|https?:\S+|[\d\s\"“”«»()/]+"
)
"""What is the same in all languages: placeholders, markup, digits; and white space."""


@checked_arguments
class TranslatedMessages(TensorDataModule):
    """Messages of the web framework Django, as its translators wrote them, in ten languages.

    The texts lie in the package `django` (BSD-3-Clause, `pip install django`), which is not
    imported. Batches are mappings: `input_ids` `(n, length)`, int64, a token for each character of
    the text in small letters, 0 behind its end; `attention_mask` `(n, length)`, 1 for characters;
    `labels` `(n,)`, the language's place in `languages`. Placeholders, markup and digits are taken
    out, texts of fewer than 12 letters left out, and longer ones cut off.

    A message and all its translations are in one part alone: training, validation or test.

    Args:
        languages: Codes of Django's translations.
        length: Characters of the longest text.
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        test: Share of the messages for the test.
        validation: Share of the messages for validation; 0 for none.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own.
        split_seed: Seed of the division into parts.

    Raises:
        UserError: For an argument out of range; when the data are needed, if `django` is not
            installed, or a language not in it.
    """

    def __init__(
        self,
        languages: Sequence[str] = LANGUAGES,
        length: int = 32,
        batch_size: int = 64,
        eval_batch_size: int = 500,
        test: float = 0.25,
        validation: float = 0.0,
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, drop_last, seed)
        if len(set(languages)) < max(2, len(languages)):
            raise UserError(f"languages must be two or more different ones: {list(languages)}")
        if length < _LEAST:
            raise UserError(f"length must be at least {_LEAST}, not {length}")
        if not 0 < test < 1 or not 0 <= validation < 1 - test:
            raise UserError(
                f"test {test} and validation {validation} are shares of the messages: test above "
                "0, and less than 1 together"
            )
        self.languages, self.length = list(languages), length
        self.test, self.validation, self.split_seed = test, validation, split_seed

    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out for validation."""
        training, held_out, _ = self._parts()
        return training, held_out if self.validation else None

    def load_test(self) -> Split:
        """Return the test examples."""
        return self._parts()[2]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> dict[str, Tensor]:
        """Return a batch as a mapping, with the mask of its characters."""
        ids, labels = batch
        return {"input_ids": ids, "attention_mask": (ids != PADDING).long(), "labels": labels}

    def word(self, token: int) -> str:
        """Return the character of a token."""
        return {PADDING: "", UNKNOWN: "�"}.get(token, ALPHABET[token - 2])

    def _parts(self) -> tuple[Split, Split, Split]:
        folder = _django()
        texts = {language: _messages(folder, language) for language in self.languages}
        messages = sorted({message for one in texts.values() for message in one})
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(len(messages), generator=generator).tolist()
        first = round(self.test * len(messages))
        second = first + round(self.validation * len(messages))
        parts = (order[second:], order[first:second], order[:first])
        training, held_out, test = (
            self._split(texts, [messages[number] for number in part]) for part in parts
        )
        return training, held_out, test

    def _split(self, texts: Mapping[str, Mapping[str, str]], messages: Sequence[str]) -> Split:
        rows = [
            (tokens(texts[language][message], self.length), label)
            for message in messages
            for label, language in enumerate(self.languages)
            if message in texts[language]
        ]
        ids = torch.tensor([one for one, _ in rows], dtype=torch.int64).view(-1, self.length)
        return Split(ids, torch.tensor([label for _, label in rows], dtype=torch.int64))


def tokens(text: str, length: int) -> list[int]:
    """Return a text's tokens, cut off or padded to a length.

    >>> tokens("Ab?", 5)
    [3, 4, 78, 0, 0]
    """
    ids = [ALPHABET.find(character) + 2 for character in text.lower()[:length]]
    ids = [UNKNOWN if token == 1 else token for token in ids]
    return ids + [PADDING] * (length - len(ids))


def cleaned(text: str) -> str:
    """Return a message without what is the same in all languages.

    >>> cleaned("Ensure %(limit_value)s is <b>less</b> than 100.")
    'Ensure is less than .'
    """
    return " ".join(_NO_TEXT.sub(" ", text).split())


@functools.cache
def _messages(folder: Path, language: str) -> Mapping[str, str]:
    """Return the texts of a language by their English message, those that are translated."""
    files = sorted(folder.rglob(f"locale/{language}/LC_MESSAGES/django.mo"))
    if not files:
        raise UserError(
            f"django in {folder} has no translation into {language!r}: name others of its "
            "languages, such as " + ", ".join(LANGUAGES)
        )
    found: dict[str, str] = {}
    for message, text in (pair for file in files for pair in _catalogue(file.read_bytes())):
        text = cleaned(text)
        letters = sum(character.isalpha() for character in text)
        if message and text != cleaned(message) and letters >= _LEAST:
            found[message] = text
    return found


def _catalogue(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield messages and translations of a compiled catalogue, of plurals the first form.

    The format is in GNU gettext's manual, "The Format of GNU MO Files". Django's are little-endian.
    """
    count, messages, texts = struct.unpack_from("<3I", content, 8)

    def entry(table: int, number: int) -> str:
        length, start = struct.unpack_from("<2I", content, table + 8 * number)
        return content[start : start + length].partition(b"\0")[0].decode()

    for number in range(count):
        yield entry(messages, number), entry(texts, number)


def _django() -> Path:
    found = importlib.util.find_spec("django")
    if found is None or not found.submodule_search_locations:
        raise UserError(
            "the texts are messages of the package django, which is not installed: "
            "pip install django"
        )
    return Path(next(iter(found.submodule_search_locations)))
