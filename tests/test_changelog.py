"""The changelog is in the form of Keep a Changelog, and what is cited is this version."""

import re
import tomllib

import pytest
import yaml

from tests.pages import ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

pytestmark = pytest.mark.skipif(not CHANGELOG.is_file(), reason="it is in a checkout alone")


def test_versions_have_dates_and_changes_are_of_the_six_kinds() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG.read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading)
    assert set(re.findall(r"^### (.*)$", CHANGELOG.read_text(), re.MULTILINE)) <= KINDS


def test_the_citation_is_of_this_version_and_licence() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cited)
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["references"][0]["url"] == project["urls"]["Paper"]
