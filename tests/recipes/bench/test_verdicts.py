"""The page of the paper's claims: made of its sources, whose files and commands exist."""

import re
from pathlib import Path

import pytest

from lit_intriguing.paper.claims import Claim, read_claims
from recipes.bench import verdicts

ROOT = Path(__file__).parents[3]
CLAIMS = read_claims(ROOT / "recipes" / "results")


def test_the_page_is_that_of_the_claims() -> None:
    assert (ROOT / "recipes" / "README.md").read_text() == verdicts.page()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.page)
def test_page_and_files_of_a_claim_exist(claim: Claim) -> None:
    assert (ROOT / "recipes" / claim.page).is_file()
    for file in re.findall(r"(?:recipes|configs)/\S+", claim.command):
        assert (ROOT / file.replace("NAME", "fc10_1")).is_file()
