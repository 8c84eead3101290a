"""Write recipes/README.md: each claim of the paper, what we measured, and the verdict.

From the root of a checkout: python recipes/bench/verdicts.py

Reads recipes/results/claims.yaml and the studies beside it that it names. `--check` writes
nothing and fails where the page is another.
"""

import sys
from pathlib import Path

from lit_intriguing.paper.claims import VERDICTS, Claim, read_claims

RECIPES = Path(__file__).parents[1]
HEAD = """# The paper's claims, one by one

Made of `results/claims.yaml` by `python recipes/bench/verdicts.py`. Intervals in square brackets
are of 95%: of a mean over seeds by Student's t, of shares and effects as the pages say. A recipe
is a `.yaml` file here; the page of the same name says how it was set, what it gives and what not.

**{counts}.** "Partly" and "open" say in the third column what is missing.

| claim | the paper | measured | verdict | how, when |
|---|---|---|---|---|
"""


def row(claim: Claim) -> str:
    """Return a claim's line of the table."""
    page = f"[{Path(claim.page).stem}]({claim.page})"
    cells = [
        f"{claim.claim} (section {claim.section})",
        claim.paper,
        claim.ours,
        f"**{claim.verdict}**",
        f"`{claim.command}`, {claim.date}; {page}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def page() -> str:
    """Return the page."""
    claims = read_claims(RECIPES / "results")
    given = [one.verdict for one in claims]
    counts = ", ".join(f"{given.count(one)} {one}" for one in VERDICTS)
    return HEAD.format(counts=f"{len(claims)} claims: {counts}") + "".join(map(row, claims))


def main() -> None:
    """Write the page, or compare it."""
    target = RECIPES / "README.md"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if target.read_text() == page() else f"{target} is not of claims.yaml")
    target.write_text(page())


if __name__ == "__main__":
    main()
