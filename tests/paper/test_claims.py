"""The claims: read from their file, with the figures of studies in the place of names."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_intriguing.configuration import shipped
from lit_intriguing.paper.claims import VERDICTS, filled, read_claims


def study(folder: Path) -> dict[str, Any]:
    runs = [
        {"seed": seed, "test_error": error, "date": f"2026-11-2{seed}"}
        for seed, error in ((3, 1.0), (4, 1.1), (5, 1.3))
    ]
    content = {"command": "lightning fit --config recipes/x.yaml", "runs": runs}
    (folder / "x.json").write_text(json.dumps(content))
    return content


def claim(**changes: Any) -> dict[str, Any]:
    usual = {
        "claim": "It falls", "section": "4.2", "paper": "below 1.2%", "ours": "1.0%",
        "verdict": "partly", "command": "lightning fit", "page": "x.md", "date": "2026-11-28",
    }  # fmt: skip
    return usual | changes


def test_figures_of_a_study_take_the_place_of_their_names(tmp_path: Path) -> None:
    content = study(tmp_path)
    found = filled({"study": "x", "ours": "{mean}% {interval}, {range}, {seeds}"}, tmp_path)
    # Of Student's t with 2 degrees of freedom: 4.3027 * 0.15275 / sqrt(3).
    assert found["ours"] == "1.13% [0.75, 1.51], 1.00 to 1.30, seeds 3 to 5"
    assert found["date"] == "2026-11-25"
    assert found["command"] == content["command"]


def test_a_claim_of_a_study_is_read_with_its_figures(tmp_path: Path) -> None:
    study(tmp_path)
    given = claim(study="x", ours="{mean}%")
    del given["command"], given["date"]
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([given]))
    (found,) = read_claims(tmp_path)
    assert (found.ours, found.date, found.part) == ("1.13%", "2026-11-25", "")


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([claim(verdict="perhaps")]))
    with pytest.raises(ValueError, match="'perhaps' is none of"):
        read_claims(tmp_path)


def test_the_shipped_claims_are_read() -> None:
    claims = read_claims(shipped.results())
    assert len(claims) > 10
    assert {one.verdict for one in claims} <= set(VERDICTS)
