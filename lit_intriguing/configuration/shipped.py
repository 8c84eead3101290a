"""Where the recipes and configuration fragments that come with the package lie."""

from pathlib import Path

from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean

FOLDERS = ("recipes", "configs")
RESULTS = "recipes/results"
"""What was measured, and what is to be run: no configurations of a command."""


def root() -> Path:
    """Return the folder that holds `recipes` and `configs`.

    An installed wheel carries them inside the package; in a checkout they stand beside it.
    """
    package = Path(__file__).resolve().parents[1]
    return package if (package / FOLDERS[0]).is_dir() else package.parent


def names() -> list[str]:
    """Return what is shipped, as `recipes/adv_digits.yaml` or `configs/logger/csv.yaml`."""
    base = root()
    found = (p for folder in FOLDERS for p in (base / folder).rglob("*.yaml"))
    names = (p.relative_to(base).as_posix() for p in found)
    return sorted(name for name in names if not name.startswith(f"{RESULTS}/"))


def results() -> Path:
    """Return the folder of the paper's claims, and of what was measured of them."""
    return root() / RESULTS


def find(name: str) -> str:
    """Find a configuration file by its name: first on disk, then in the package.

    Args:
        name: A path; or a shipped file's name, with or without its folder and `.yaml`
            (`recipes/adv_digits.yaml`, `adv_digits`, `logger/csv`).

    Returns:
        A path that exists; a web address or YAML text is handed back as it came.

    Raises:
        UsageError: Neither the disk nor the package has such a file.
    """
    if "://" in name or name.lstrip().startswith("{") or Path(name).is_file():
        return name
    base = root()
    if not Path(name).is_absolute():
        for folder in (".", *FOLDERS):
            for ending in ("", ".yaml"):
                relative = (Path(folder) / (name + ending)).as_posix()
                if relative in names():
                    return str(base / relative)
    raise UsageError(f"no file '{name}', here or in the package.{_suggestion(name)}")


def _suggestion(name: str) -> str:
    """Compare with the files beside the one asked for, then with everything shipped."""
    folder = Path(name).parent
    beside = [p.as_posix() for p in folder.glob("*.y*ml")] if folder.is_dir() else []
    short = [Path(n).name for n in names()]
    return did_you_mean(name, [*beside, *names(), *short, *(Path(s).stem for s in short)])
