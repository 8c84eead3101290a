"""Tables as text: Markdown, CSV, columns for a terminal."""

import csv
import io
import re
from collections.abc import Sequence

Cell = str | int | float

_NUMBER = re.compile(r"[-+]?[.\d]")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    r"""Return a table in Markdown.

    Args:
        columns: C names.
        rows: Each with C cells; a vertical bar in a cell is escaped.

    Returns:
        The text, with a newline after each row.

    >>> print(markdown_table(["row", "n"], [["a|b", 3]]), end="")
    | row | n |
    |---|---|
    | a\|b | 3 |
    """
    table = [list(columns), ["---"] * len(columns), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in table]
    head, rule, *body = cells
    return "".join(
        ["| " + " | ".join(head) + " |\n", "|" + "|".join(rule) + "|\n"]
        + ["| " + " | ".join(row) + " |\n" for row in body]
    )


def csv_table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, newline: str = "\n"
) -> str:
    r"""Return a table as CSV, floats in full precision.

    Args:
        columns: C names, the first row.
        rows: Each with C cells.
        newline: After each row.

    >>> csv_table(["row", "n"], [["a,b", 3]])
    'row,n\n"a,b",3\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerows([columns, *rows])
    return text.getvalue()


def terminal_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table for a terminal, two spaces between columns, no newline at the end.

    Columns with a number in them are aligned to the right, others and the first to the left.

    Args:
        columns: C names.
        rows: Each with C cells.

    >>> print(terminal_table(["row", "n", "kind"], [["first", 3, ""], ["b", "none", "exact"]]))
    row       n  kind
    first     3
    b      none  exact
    """
    cells = [[str(cell) for cell in row] for row in rows]
    texts = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [at > 0 and any(_NUMBER.match(row[at]) for row in cells) for at in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    )
