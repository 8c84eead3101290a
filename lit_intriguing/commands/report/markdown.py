"""The table of claims in Markdown, for a README or a pull request."""

from collections.abc import Sequence

from lit_intriguing.commands.report.contents import Contents

_HEAD = ("claim", "the paper", "measured here", "verdict")


def claims_table(contents: Contents) -> str:
    """Return a table with a line for each claim of the paper.

    Args:
        contents: What the page says.
    """
    lines = [_line(_HEAD), "|---" * len(_HEAD) + "|"]
    for one in contents.claims:
        claim = f"{one.claim.claim} (section {one.claim.section})"
        here = "; ".join(one.here) or "not run here"
        lines.append(_line((claim, one.claim.paper, here, one.claim.verdict)))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    r"""Return a line of a table.

    >>> print(_line(["a | b", "c"]))
    | a \| b | c |
    """
    return "| " + " | ".join(" ".join(one.replace("|", "\\|").split()) for one in cells) + " |"
