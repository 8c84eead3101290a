"""Write recipes/README.md: each claim of the paper, what we measured, and the verdict.

From the root of a checkout: python recipes/bench/verdicts.py

Reads recipes/results/claims.yaml and the studies beside it that it names. `--check` writes
nothing and fails where the page is another.
"""

import json
import math
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml
from scipy.stats import t

RECIPES = Path(__file__).parents[1]
VERDICTS = ("reproduced", "partly", "not reproduced", "open")
HEAD = """# The paper's claims, one by one

Made of `results/claims.yaml` by `python recipes/bench/verdicts.py`. Intervals in square brackets
are of 95%: of a mean over seeds by Student's t, of shares and effects as the pages say. A recipe
is a `.yaml` file here; the page of the same name says how it was set, what it gives and what not.

**{counts}.** "Partly" and "open" say in the third column what is missing.

| claim | the paper | measured | verdict | how, when |
|---|---|---|---|---|
"""


def filled(claim: dict[str, Any]) -> dict[str, Any]:
    """Return a claim with the figures of its study in the place of their names."""
    if "study" not in claim:
        return claim
    study = json.loads((RECIPES / "results" / f"{claim['study']}.json").read_text())
    errors = [float(run["test_error"]) for run in study["runs"]]
    half = t.ppf(0.975, len(errors) - 1) * stdev(errors) / math.sqrt(len(errors))
    seeds = sorted(run["seed"] for run in study["runs"])
    figures = {
        "mean": f"{mean(errors):.2f}",
        "interval": f"[{mean(errors) - half:.2f}, {mean(errors) + half:.2f}]",
        "range": f"{min(errors):.2f} to {max(errors):.2f}",
        "seeds": f"seeds {seeds[0]} to {seeds[-1]}",
    }
    date = max(run["date"] for run in study["runs"])
    ours = claim["ours"].format(**figures)
    return {**claim, "ours": ours, "command": study["command"], "date": date}


def row(claim: dict[str, Any]) -> str:
    """Return a claim's line of the table."""
    assert claim["verdict"] in VERDICTS, claim
    page = f"[{Path(claim['page']).stem}]({claim['page']})"
    cells = [
        f"{claim['claim']} (section {claim['section']})",
        claim["paper"],
        claim["ours"],
        f"**{claim['verdict']}**",
        f"`{claim['command']}`, {claim['date']}; {page}",
    ]
    return "| " + " | ".join(str(cell).strip() for cell in cells) + " |\n"


def page() -> str:
    """Return the page."""
    text = (RECIPES / "results" / "claims.yaml").read_text()
    claims = [filled(one) for one in yaml.safe_load(text)]
    given = [one["verdict"] for one in claims]
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
