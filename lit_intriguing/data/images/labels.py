"""A file that says of each image which class it shows."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError


def read_labels(file: str | Path, root: Path) -> dict[str, str]:
    """Return the class of each image, as a name or a label in digits, by the image's path.

    Args:
        file: `.json`, `{"a.jpg": "tench", ...}`; `.csv`, image and class in the first two columns;
            otherwise text, image and class on a line, parted by white space. Its path, or its path
            within `root` or `$LIT_INTRIGUING_DATA`.
        root: The folder of images.

    Raises:
        UserError: If there is no such file, or it holds something else.
    """
    path = root / file if (root / file).is_file() else found_file(str(file))
    if not path.is_file():
        raise UserError(f"no file of labels '{file}', also not in {root}")
    pairs: list[Sequence[str]]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            content = json.loads(text)
            pairs = list(content.items()) if isinstance(content, dict) else []
        elif path.suffix.lower() == ".csv":
            pairs = [row[:2] for row in csv.reader(text.splitlines()) if any(row)]
        else:
            pairs = [line.rsplit(None, 1) for line in text.splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as a file of labels: {error}") from error
    if pairs and not str(pairs[0][0]).lower().endswith(IMG_EXTENSIONS):
        pairs = pairs[1:]  # a heading
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise UserError(f"{path} must name images, and behind each its class")
    return {str(image).strip(): str(name).strip() for image, name in pairs}


def class_names(
    labels: dict[str, str], paths: Sequence[str], folder: Path, root: Path
) -> list[str]:
    """Return the class of each image.

    Args:
        labels: See `read_labels`; they may call an image by its path within `root`, within
            `folder`, or by its name alone.
        paths: Of the images, within `folder`.
        folder: Of a part, or `root`.
        root: Of the whole data set.

    Raises:
        UserError: If an image has none.
    """
    before = folder.relative_to(root)
    names = []
    for path in paths:
        called = ((before / path).as_posix(), path, path.rsplit("/", 1)[-1])
        names.append(next((labels[one] for one in called if one in labels), None))
    without = [path for path, name in zip(paths, names, strict=True) if name is None]
    if without:
        raise UserError(
            f"the file of labels has none for {len(without)} of {len(paths)} images in {folder}, "
            f"such as {without[0]}: name them there by their paths in the folder, or move them away"
        )
    return [name for name in names if name is not None]
