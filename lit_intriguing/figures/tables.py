"""Tables as Markdown."""

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
