"""A few images on their way through the attack: what `--watch` writes."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from lit_intriguing.attacks.watch import Watch
from lit_intriguing.errors import UserError
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.traces import COLUMNS, trace_names, trace_rows, traces_figure
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.tables import csv_table
from lit_intriguing.whole_files import write_bytes

TABLE, FIGURE = "watch.csv", "watch.png"


def watch_for(count: int, index: int) -> Watch | None:
    """Return what looks on at a chunk: at the first one only, and if it is asked for."""
    return Watch(count) if count and index == 0 else None


def check_watched(store: Store, count: int) -> None:
    """Refuse to watch what is done already, and note what was watched then.

    Args:
        store: Of the attack.
        count: How many images are to be watched; 0 for none.

    Raises:
        UserError: The first images were attacked without being watched.
    """
    done = store.finished is not None or 0 in store.indices()
    if not count or not done:
        return
    path = store.folder / TABLE
    if not path.is_file():
        raise UserError(
            f"watch: the first images in {store.folder} were attacked before, and not watched: "
            "name another output, or leave watch out."
        )
    with path.open(encoding="utf-8", newline="") as file:
        watched = len({row[COLUMNS[0]] for row in csv.DictReader(file)})
    if watched != count:
        print(f"note: {path} holds {watched} images, watched before", file=sys.stderr)


def write_watch(
    folder: Path,
    watch: Watch,
    columns: Mapping[str, Tensor],
    names: Sequence[str] | None,
    title: str,
) -> None:
    """Write the table and the figure of what was seen; nothing where no image was attacked.

    Args:
        folder: Where to; it exists.
        watch: What looked on.
        columns: Of the chunk; see `Examples`.
        names: Of the classes; None for their numbers.
        title: Of the figure.
    """
    traces = watch.traces
    if not traces:
        return
    write_bytes(folder / TABLE, csv_table(COLUMNS, trace_rows(traces)).encode())
    figure = traces_figure(traces, trace_names(traces, columns, names), title=title)
    write_bytes(folder / FIGURE, png(figure))


def watch_files(folder: Path) -> list[str]:
    """Return the names of those of these files that are there."""
    return [name for name in (TABLE, FIGURE) if (folder / name).is_file()]
