"""Folders of `torch.distributed.checkpoint`, told by their files' names, without torch.

`ModelParallelStrategy` (FSDP2) writes one: each process its shard, `__<rank>_<n>.distcp`; then the
first one `.metadata`, which says where each tensor lies, and last Lightning's `meta.pt`, which
holds the rest: loops, callbacks, options.
"""

from pathlib import Path

INDEX, REST = ".metadata", "meta.pt"


def is_sharded(path: Path) -> bool:
    """Return whether a path is a folder with files of a sharded checkpoint, complete or not."""
    if not path.is_dir():
        return False
    return (path / INDEX).is_file() or (path / REST).is_file() or bool(list(path.glob("*.distcp")))


def what_is_missing(path: Path) -> str | None:
    """Return in a word what a folder lacks that a sharded checkpoint has; None where nothing.

    Args:
        path: A folder of which `is_sharded` is true.
    """
    for name in (INDEX, REST):
        if not (path / name).is_file():
            return name
    return None if list(path.glob("*.distcp")) else "*.distcp"
