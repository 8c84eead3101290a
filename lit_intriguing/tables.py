"""Tables as text: Markdown, CSV, columns for a terminal."""

import csv
import io
from collections.abc import Sequence

Cell = str | int | float


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    r"""A table in Markdown.

    Args:
        columns: C names.
        rows: Each with C cells; a vertical bar in a cell is escaped.

    Returns:
        The lines, with a newline after each.

    >>> print(markdown_table(["row", "n"], [["a|b", 3]]), end="")
    | row | n |
    |---|---|
    | a\|b | 3 |
    """
    lines = [list(columns), ["---"] * len(columns), *rows]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    head, rule, *body = cells
    return "".join(
        ["| " + " | ".join(head) + " |\n", "|" + "|".join(rule) + "|\n"]
        + ["| " + " | ".join(line) + " |\n" for line in body]
    )


def csv_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    r"""A table as CSV, the columns' names in its first line.

    >>> csv_table(["row", "n"], [["a,b", 3]])
    'row,n\n"a,b",3\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def aligned(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table for a terminal, two spaces between columns, without a newline at the end.

    >>> print(aligned(["row", "n"], [["first", 3], ["b", ""]]))
    row    n
    first  3
    b
    """
    lines = [[str(cell) for cell in line] for line in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in padded)


def screen_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table for a terminal, numbers to the right.

    >>> print(screen_table(["row", "n"], [["none", 5]]))
    row    n
    none   5
    """
    lines = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width + 1)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
