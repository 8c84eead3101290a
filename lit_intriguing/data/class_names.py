"""Names of classes: those of ImageNet, of a file, or of the data."""

import json
import re
from collections.abc import Sequence
from typing import Any

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError

IMAGENET = "imagenet"
"""In place of a file: the names of ImageNet's thousand classes, which torchvision knows."""

_SYNSET = re.compile(r"^n\d{8}[\s,:]+")


def class_names(source: str) -> list[str]:
    """Return the names of classes, in the order of their numbers.

    Args:
        source: `imagenet`; or a file, also within `$LIT_INTRIGUING_DATA`. A text file has a name a
            line, such as ImageNet's `synset_words.txt`, whose `n01440764` in front is left out. A
            JSON file (`.json`) has a list of names, or names by number, as
            `imagenet_class_index.json` has them: `{"0": ["n01440764", "tench"], ...}`. Of synonyms
            ("great white shark, white shark") the first is taken.

    Raises:
        UserError: There is no such file, or it holds something else.
    """
    if source == IMAGENET:
        return _imagenet()
    path = found_file(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = _of_json(json.loads(text)) if path.suffix == ".json" else _of_lines(text)
    except OSError as error:
        raise UserError(
            f"class_names: cannot read {path} ({error.strerror}): give a text file with a name a "
            f"line, or {IMAGENET}."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"class_names: {path} holds no names of classes ({error}): a text file has a name a "
            'line, a JSON file a list, or {"0": name, "1": name, ...}.'
        ) from error
    names = [_short(name) for name in names]
    if not names:
        raise UserError(f"class_names: {path} is empty: give a file with a name a line.")
    return names


def names_of_data(data: object) -> Sequence[str] | None:
    """Return the names that a data module has in `class_names`; None where it has none."""
    names = getattr(data, "class_names", None)
    return names if isinstance(names, Sequence) and not isinstance(names, str) else None


def _imagenet() -> list[str]:
    from torchvision.models import AlexNet_Weights

    names: list[str] = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    return names


def _of_json(content: Any) -> list[str]:
    if isinstance(content, dict):
        content = [content[str(number)] for number in range(len(content))]
    if not isinstance(content, list):
        raise TypeError("neither a list nor a mapping")
    names = ["" if one == [] else one if isinstance(one, str) else one[-1] for one in content]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name is no text")
    blank = [number for number, name in enumerate(names) if not name.strip()]
    if blank:  # left out, it would give the classes behind it other names
        raise ValueError(f"class {blank[0]} has no name")
    return names


def _of_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _short(name: str) -> str:
    """Return the first of the synonyms, without ImageNet's number and underscores.

    >>> _short("n01484850 great_white_shark, white shark")
    'great white shark'
    """
    return _SYNSET.sub("", name.strip()).split(",")[0].strip().replace("_", " ")
