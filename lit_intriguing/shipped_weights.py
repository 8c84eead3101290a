"""Trained networks that come with the package: checkpoints in `weights/`, known by their names."""

from pathlib import Path

from lit_intriguing.errors import UserError
from lit_intriguing.spelling import did_you_mean

FOLDER = Path(__file__).parent / "weights"


def names() -> list[str]:
    """Return the names of the shipped checkpoints, such as `adv_mnist`."""
    return sorted(path.stem for path in FOLDER.glob("*.ckpt"))


def found_checkpoint(name: str) -> Path:
    """Return a checkpoint by its path, else a shipped one by its name.

    Args:
        name: A path, which is handed back where there is no shipped checkpoint of that name.
    """
    path = Path(name)
    return FOLDER / f"{name}.ckpt" if not path.exists() and name in names() else path


def shipped_checkpoint(name: str) -> Path:
    """Return a shipped checkpoint.

    Raises:
        UserError: There is none of that name.
    """
    if name not in names():
        raise UserError(
            f"no weights '{name}' come with the package.{did_you_mean(name, names())} There are: "
            f"{', '.join(names())}."
        )
    return FOLDER / f"{name}.ckpt"
