"""Reads the file of an offline run of W&B, which has no reader of its own that is public."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def wandb_records(file: Path) -> Iterator[Any]:
    """Reads blocks of 32 KiB, records split in chunks with a head of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = file.read_bytes()
    at, whole = 7, b""
    while at + 7 <= len(data):
        room = 32768 - at % 32768
        if room < 7:
            at += room
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@dataclass
class WandbRun:
    """What an offline run holds.

    Attributes:
        rows: The history; keys of media are followed by a slash and what is told of them.
        summary: The last value of each key, with `.min` and `.max` where asked for.
        config: The columns, nested.
        best: The summary that was asked for, by key.
        tables: Tables with their pictures, which W&B keeps as artifacts: files by their names, for
            each table.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    best: dict[str, str] = field(default_factory=dict)
    tables: list[dict[str, Path]] = field(default_factory=list)

    @property
    def files(self) -> Path:
        """The files of the run."""
        return self.folder / "files"

    def rows_of(self, table: int) -> list[dict[str, Any]]:
        """Returns the rows of a table, pictures as their files."""
        files = self.tables[table]
        (content,) = (json.loads(p.read_text()) for n, p in files.items() if n.endswith(".json"))
        return [
            {
                name: files[cell["path"]] if isinstance(cell, dict) else cell
                for name, cell in zip(content["columns"], row, strict=True)
            }
            for row in content["data"]
        ]


def read_run(folder: Path) -> WandbRun:
    """Reads the only offline run below a folder; `wandb.teardown()` must have been called."""
    (file,) = folder.rglob("run-*.wandb")
    run = WandbRun(file.parent)
    for record in wandb_records(file):
        row = {_key(one): json.loads(one.value_json) for one in record.history.item}
        run.rows += [row] if row else []
        for one in record.summary.update:
            run.summary[".".join(one.nested_key) or one.key] = json.loads(one.value_json)
        for one in (*record.config.update, *record.run.config.update):
            run.config["/".join(one.nested_key) or one.key] = json.loads(one.value_json)
        contents = record.artifact.manifest.contents
        run.tables += [{one.path: Path(one.local_path) for one in contents}] if contents else []
        if record.metric.name:
            asked = record.metric.summary
            run.best[record.metric.name] = "min" if asked.min else "max" if asked.max else ""
    return run


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)
