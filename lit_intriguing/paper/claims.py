"""The claims of the paper, what this package measured of each, and the verdict."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from lit_intriguing.intervals import interval_of_mean

VERDICTS = ("reproduced", "partly", "not reproduced", "open")


@dataclass(frozen=True)
class Claim:
    """A claim of Szegedy et al. 2013.

    Attributes:
        claim: In a sentence.
        section: Of the paper.
        paper: What it reports.
        ours: What we measured.
        verdict: One of `VERDICTS`.
        command: What gives our figures.
        page: Of the recipe, below `recipes/`.
        date: Of our figures.
        part: Which numbers of such a study are those of the claim; empty for its main ones.
    """

    claim: str
    section: str
    paper: str
    ours: str
    verdict: str
    command: str
    page: str
    date: str
    part: str = ""


def read_claims(folder: Path) -> list[Claim]:
    """Return the claims in the order of their file.

    Args:
        folder: With `claims.yaml`, and the studies that it names.

    Raises:
        ValueError: A verdict is none.
    """
    text = (folder / "claims.yaml").read_text(encoding="utf-8")
    claims = [Claim(**_as_text(filled(one, folder))) for one in yaml.safe_load(text)]
    for one in claims:
        if one.verdict not in VERDICTS:
            raise ValueError(f"claims.yaml: {one.verdict!r} is none of {VERDICTS}: {one.claim}")
    return claims


def filled(claim: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a claim with the figures of its study in the place of their names.

    Args:
        claim: As in `claims.yaml`.
        folder: Of the studies.
    """
    if "study" not in claim:
        return claim
    study = json.loads((folder / f"{claim['study']}.json").read_text(encoding="utf-8"))
    errors = [float(run["test_error"]) for run in study["runs"]]
    low, high = interval_of_mean(errors)
    seeds = sorted(run["seed"] for run in study["runs"])
    figures = {
        "mean": str(_rounded(mean(Decimal(str(run["test_error"])) for run in study["runs"]))),
        "interval": f"[{low:.2f}, {high:.2f}]",
        "range": f"{min(errors):.2f} to {max(errors):.2f}",
        "seeds": f"seeds {_listed(seeds)}",
    }
    date = max(run["date"] for run in study["runs"])
    ours = claim["ours"].format(**figures)
    return {**claim, "ours": ours, "command": study["command"], "date": date}


def _rounded(value: Decimal) -> Decimal:
    """Round to two digits behind the point, a half up.

    >>> _rounded(Decimal("1.095"))
    Decimal('1.10')
    """
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _listed(seeds: Sequence[int]) -> str:
    """Return sorted numbers in words.

    >>> _listed([4, 5, 6]), _listed([4, 6, 7]), _listed([4])
    ('4 to 6', '4, 6 and 7', '4')
    """
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and last - first == len(seeds) - 1:
        return f"{first} to {last}"
    *rest, final = map(str, seeds)
    return f"{', '.join(rest)} and {final}" if rest else final


def _as_text(claim: dict[str, Any]) -> dict[str, str]:
    return {key: str(value).strip() for key, value in claim.items() if key != "study"}
