"""The table of hosts as Markdown."""

from collections.abc import Iterable, Mapping

from tests.real_hosts.cell import DEAD_END, FAULT, OK, WAY_OUT, Result
from tests.real_hosts.hosts import HOSTS, version_of

SIGNS = {OK: "ok", WAY_OUT: "R", DEAD_END: "**D**", FAULT: "**F**"}

LEGEND = (
    "ok: it works. R: refused, and what the refusal names works. **D**: refused, and nothing that "
    "it names works. **F**: a fault."
)

Rows = Mapping[str, Mapping[str, Result]]


def table(rows: Rows) -> str:
    """Return the table, the versions above it and what was said below it.

    Args:
        rows: For each host that ran, the results by column.
    """
    libraries = sorted({HOSTS[name].library for name in rows} | {"torch", "lightning"})
    versions = ", ".join(f"{name} {version_of(name)}" for name in libraries)
    titles = ["host", *next(iter(rows.values()), ())]
    lines = [f"{versions}.", "", LEGEND, "", _line(titles), _line(["---"] * len(titles))]
    lines += [line(name, row) for name, row in rows.items()]
    return "\n".join([*lines, "", *said(rows)])


def line(name: str, row: Mapping[str, Result]) -> str:
    """Return a host's line of the table."""
    return _line([name, *(SIGNS[one.verdict] for one in row.values())])


def _line(entries: Iterable[str]) -> str:
    return f"| {' | '.join(entries)} |"


def said(rows: Rows) -> list[str]:
    """Return each message once, with the cells that gave it."""
    where: dict[tuple[str, str], list[str]] = {}
    for name, row in rows.items():
        for column, one in row.items():
            if one.verdict != OK:
                told = f"{one.message} {one.details if one.verdict == DEAD_END else ''}".strip()
                where.setdefault((SIGNS[one.verdict], told), []).append(f"{name}, {column}")
    return [
        f"- {sign} {'; '.join(cells)}: {' '.join(message.split())}"
        for (sign, message), cells in sorted(where.items())
    ]
