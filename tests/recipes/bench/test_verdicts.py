"""The page of the paper's claims: made of its sources, whose files and commands exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

from recipes.bench import verdicts

ROOT = Path(__file__).parents[3]
CLAIMS = yaml.safe_load((ROOT / "recipes" / "results" / "claims.yaml").read_text())


def test_the_page_is_that_of_the_claims() -> None:
    assert (ROOT / "recipes" / "README.md").read_text() == verdicts.page()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["page"])
def test_page_and_files_of_a_claim_exist(claim: dict[str, str]) -> None:
    assert (ROOT / "recipes" / claim["page"]).is_file()
    for file in re.findall(r"(?:recipes|configs)/\S+", verdicts.filled(claim)["command"]):
        assert (ROOT / file.replace("NAME", "fc10_1")).is_file()


def test_figures_of_a_study_take_the_place_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    runs = [
        {"seed": seed, "test_error": error, "date": f"2026-11-2{seed}"}
        for seed, error in ((3, 1.0), (4, 1.1), (5, 1.3))
    ]
    study = {"command": "lightning fit --config recipes/x.yaml", "runs": runs}
    (tmp_path / "results" / "x.json").write_text(json.dumps(study))
    monkeypatch.setattr(verdicts, "RECIPES", tmp_path)
    ours = "{mean}% {interval}, {range}, {seeds}"
    found = verdicts.filled({"study": "x", "ours": ours})
    # Of Student's t with 2 degrees of freedom: 4.3027 * 0.15275 / sqrt(3).
    assert found["ours"] == "1.13% [0.75, 1.51], 1.00 to 1.30, seeds 3 to 5"
    assert found["date"] == "2026-11-25"
    assert found["command"] == study["command"]
