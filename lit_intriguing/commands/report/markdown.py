"""The table of claims in Markdown, for a README or a pull request."""

from collections.abc import Sequence

from lit_intriguing.commands.report.contents import Contents
from lit_intriguing.paper.plan import QUICK

_HEAD = ("claim", "the paper", "in this run", "this package", "verdict")
_DIGITS = (
    "A quick run on the digits of scikit-learn: its numbers say nothing about the paper's.\n\n"
)


def claims_table(contents: Contents) -> str:
    """Return a table with a line for each claim of the paper.

    The verdict is the package's, of its own measurement beside it.

    Args:
        contents: What the page says.
    """
    lines = [_line(_HEAD), "|---" * len(_HEAD) + "|"]
    for one in contents.claims:
        claim = f"{one.claim.claim} (section {one.claim.section})"
        here = "; ".join(one.here) or "not run"
        own = f"{one.claim.ours}, {one.claim.date}"
        lines.append(_line((claim, one.claim.paper, here, own, one.claim.verdict)))
    return (_DIGITS if contents.plan == QUICK else "") + "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    r"""Return a line of a table.

    >>> print(_line(["a | b", "c"]))
    | a \| b | c |
    """
    return "| " + " | ".join(" ".join(one.replace("|", "\\|").split()) for one in cells) + " |"
