"""The page: it asks nothing of anywhere, every picture has words, and what is missing is named."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_intriguing import cli
from lit_intriguing.commands.report.contents import in_short
from lit_intriguing.commands.report.found import find_results
from lit_intriguing.commands.report.options import Report
from lit_intriguing.commands.report.pictures import BUDGET, data_uri, share_of
from lit_intriguing.configuration import shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.paper.claims import read_claims
from lit_intriguing.paper.plan import FULL, QUICK, read_plan
from lit_intriguing.paper.records import Record, Records
from tests.commands.report import folders

CLAIMS = len(read_claims(shipped.results()))
CARS = ("quocnet_cifar", "quocnet_cifar/cars", "figure6")
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background", "xlink:href"}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Read(HTMLParser):
    """What a browser would do with a page: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(folder: Path) -> tuple[str, Read]:
    Report(str(folder)).run()
    text = (folder / "report.html").read_text()
    return text, Read(text)


def some_of_a_full_one(tmp_path: Path) -> Path:
    """Some of a full reproduction, and a result that belongs to none."""
    folders.transfer(tmp_path / "transfer" / "table2")
    folders.lipschitz(tmp_path / "table5")
    folders.unit_analysis(tmp_path / "figure1_2")
    folders.ablated(tmp_path / "ablation" / "adv_mnist")
    folders.attacked(tmp_path / "mine")
    for seed, error in enumerate((0.01, 0.011, 0.013)):
        place = tmp_path / "adv_mnist" / f"seed_{seed}" / "lightning_logs" / "version_0"
        folders.trained(place, seed=seed, error=error)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Read]:
    """The page of such a folder, for tests that only look at it."""
    return page(some_of_a_full_one(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return some_of_a_full_one(tmp_path)


def test_nothing_is_loaded_from_anywhere(whole: tuple[str, Read]) -> None:
    text, read = whole
    for _, attributes in read.elements:
        for name in LOADING & attributes.keys():
            assert re.match(r"#|data:", attributes[name] or ""), attributes
    assert read.all("script") == read.all("iframe") == read.all("object") == []
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert "url(" not in text
    assert read.open == []


def test_a_policy_forbids_requests(whole: tuple[str, Read]) -> None:
    _, read = whole
    (policy,) = [m["content"] for m in read.all("meta") if "http-equiv" in m]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_each_picture_has_words_and_can_be_shown(whole: tuple[str, Read]) -> None:
    _, read = whole
    images = read.all("img")
    assert len(images) == 10  # a heat map, bars, a grid, an attack, two curves of three trainings
    for one in images:
        assert len(one["alt"] or "") > 10
        data = base64.b64decode((one["src"] or "").partition(",")[2])
        Image.open(io.BytesIO(data)).verify()


def test_links_lead_to_headings_that_are_there_and_ids_are_unique(whole: tuple[str, Read]) -> None:
    _, read = whole
    names = [a["id"] for _, a in read.elements if "id" in a]
    assert len(set(names)) == len(names)
    targets = [(a["href"] or "")[1:] for a in read.all("a")]
    assert {"claims", "table-2", "figures-1-and-2", "others"} <= set(targets) <= set(names)


def test_it_is_for_light_and_dark_and_for_phones(whole: tuple[str, Read]) -> None:
    text, read = whole
    assert "@media (prefers-color-scheme: dark)" in text
    assert "width=device-width, initial-scale=1" in [m.get("content") for m in read.all("meta")]


def test_measured_numbers_stand_beside_the_papers_with_intervals(whole: tuple[str, Read]) -> None:
    _, read = whole
    text = " ".join(read.text.split())
    assert f"In this folder: results for 7 of {CLAIMS} claims." in text
    # Three seeds: mean 1.13, and 4.3027 * 0.15275 / sqrt(3) on each side.
    assert "test error 1.13% [0.75, 1.51], seeds 0, 1, 2" in text
    assert "1.2 (0.2 to 2.2) [1.5]" in text
    assert "input 1.13% [0.75, 1.51]; all 1.00%" in text


def test_what_is_missing_is_named_with_commands_that_the_plan_has(whole: tuple[str, Read]) -> None:
    _, read = whole
    text = " ".join(read.text.split())
    for line in (
        "lightning transfer --config recipes/figure7.yaml",
        "lightning attack --config recipes/figure5.yaml",
        "lightning fit --config recipes/lipschitz_mnist.yaml",
    ):
        assert line in text
    before, _, after = text.partition("Figure 5: ")
    assert before
    assert after.split("Figure 6: ")[0].count("Missing here. Made by:") == 1


def test_before_a_missing_command_stand_those_whose_networks_it_takes(
    whole: tuple[str, Read],
) -> None:
    _, read = whole
    text = " ".join(read.text.split())
    figure6 = text.partition("Figure 6: ")[2].partition("Figure 7: ")[0]
    places = [figure6.index(f"--config recipes/{name}.yaml") for name in CARS]
    assert places == sorted(places)
    probing = text.partition("Probing: ")[2].partition("Further results")[0]
    assert probing.index("recipes/figure7.yaml") < probing.index("recipes/probe_mnist.yaml")


def test_a_result_of_no_step_is_a_further_one(whole: tuple[str, Read]) -> None:
    _, read = whole
    assert "8 of 8 images reach their goal" in read.text.partition("Further results")[2]


def test_an_empty_folder_gives_a_page_with_all_commands(tmp_path: Path) -> None:
    _, read = page(tmp_path)
    text = " ".join(read.text.split())
    for step in read_plan(shipped.results(), FULL).steps:
        assert " ".join(step.line(tmp_path).split()) in text


def test_a_result_that_cannot_be_read_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "transfer" / "table2" / "transfer.csv").write_text("set\n")
    _, read = page(folder)
    assert "transfer.csv cannot be read: transfer.csv has no rows" in read.text
    assert "transfer/table2: transfer.csv cannot be read" in capsys.readouterr().out


def test_a_damaged_picture_is_named_in_its_place(folder: Path) -> None:
    (folder / "mine" / "examples.png").write_bytes(b"no picture")
    _, read = page(folder)
    assert len(read.all("img")) == 9
    assert "This picture cannot be shown." in read.text


def test_names_out_of_files_are_text_and_no_markup(folder: Path) -> None:
    path = folder / "ablation" / "adv_mnist" / "ablation.csv"
    path.write_text(path.read_text().replace("input", "<img src=http://x>"))
    _, read = page(folder)
    assert len(read.all("img")) == 10
    assert "<img src=http://x>" in read.text


def test_a_quick_folder_says_that_it_is_one_and_why_places_are_left_out(tmp_path: Path) -> None:
    Records(tmp_path).begin(QUICK)
    folders.transfer(tmp_path / "transfer" / "table2_digits")
    folders.attacked(tmp_path / "attack_digits")
    _, read = page(tmp_path)
    text = " ".join(read.text.split())
    assert "A quick run on scikit-learn's digits." in text
    assert "Missing here: it needs photographs. Made by: lightning attack" in text
    assert "The results are shown under table 2." in text  # figure 7
    assert "Attack in attack_digits" in text.partition("Further results in this folder")[2]


def test_a_failed_step_is_named_at_the_top_with_its_command(tmp_path: Path) -> None:
    (step,) = [s for s in read_plan(shipped.results(), FULL).steps if s.name == "figure5"]
    program = {"version": "0", "sources": "a"}
    record = Record(step.command, 1, 2.0, "2026-11-28 12:00", program, {}, "no photographs")
    Records(tmp_path).save(step, record)
    _, read = page(tmp_path)
    head = " ".join(read.text.partition("The claims\n")[0].split())
    assert "no photographs. Again: lightning attack --config recipes/figure5.yaml" in head


def noise(size: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_pictures_are_made_to_fit_the_page() -> None:
    picture = noise(800)
    assert len(picture) > 1_000_000
    uri = data_uri(picture, 50_000)
    data = base64.b64decode(uri.partition(",")[2])
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(data) <= 50_000
    assert (
        data_uri(picture, 10_000_000)
        == "data:image/png;base64," + base64.b64encode(picture).decode()
    )


def test_as_many_pictures_as_there_are_stay_within_the_budget() -> None:
    for count in (0, 1, 25, 300):
        assert share_of(count) * count <= BUDGET
    assert BUDGET * 4 / 3 < 15_000_000


def test_the_command_line_takes_the_folder_as_a_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    cli.main(["report", ".", "--output", "page.html", "--title", "Mine"])
    assert "<title>Mine</title>" in Path("page.html").read_text()
    assert capsys.readouterr().out.startswith(
        f"page.html: 7 of {CLAIMS} claims have results here; "
    )


def test_results_that_belong_to_no_claim_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Report(str(tmp_path)).run()
    assert "further results" not in capsys.readouterr().out
    folders.transfer(tmp_path / "mine")
    folders.lipschitz(tmp_path / "too")
    Report(str(tmp_path)).run()
    assert capsys.readouterr().out.endswith("; further results on the page: 2\n")


def test_the_claims_are_also_a_table_in_markdown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "claims.md"
    Report(str(folder), markdown=str(table)).run()
    assert f"{table}: the claims" in capsys.readouterr().out
    lines = table.read_text().splitlines()
    assert lines[0] == "| claim | the paper | in this run | this package | verdict |"
    assert len(lines) == 2 + CLAIMS
    assert all(line.count(" | ") == 4 for line in lines[2:])
    assert sum("| not run |" in line for line in lines) == CLAIMS - 7
    assert any("| below 1.2% | test error 1.13% [0.75, 1.51], seeds 0, 1, 2 |" in x for x in lines)
    before = table.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        Report(str(folder), markdown=str(table)).run()
    assert table.read_bytes() == before


def test_a_table_of_a_quick_run_says_that_it_is_one(tmp_path: Path) -> None:
    Records(tmp_path).begin(QUICK)
    Report(str(tmp_path), markdown=str(tmp_path / "claims.md")).run()
    assert (tmp_path / "claims.md").read_text().startswith("A quick run on the digits")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no folder nowhere. Name one in which commands have left results"),
        ([], "folder"),
        ([".", "--output", "report.css/x"], "Name another: --output"),
        ([".", "--markdown", "report.css/x"], "Name another: --markdown"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("report.css").touch()
    with pytest.raises(SystemExit) as stopped:
        cli.main(["report", *words])
    assert stopped.value.code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_claim_gets_its_own_numbers_of_a_study(tmp_path: Path) -> None:
    folders.transfer(tmp_path / "transfer")
    folders.attacked(tmp_path / "attack")
    results = find_results(tmp_path)
    assert in_short(results, "transfer") == [results[1].parts["transfer"]]
    assert in_short(results, "distances") == [results[0].headline, results[1].parts["distances"]]
    assert in_short(results) == [one.headline for one in results]


def test_of_a_seed_that_was_trained_twice_the_later_run_counts(tmp_path: Path) -> None:
    for version, seed, error in ((0, 0, 0.03), (1, 0, 0.01), (2, 1, 0.02)):
        folders.trained(tmp_path / f"version_{version}", seed=seed, error=error)
    assert in_short(find_results(tmp_path)) == ["test error 1.50% [-4.85, 7.85], seeds 0, 1"]


def test_the_later_run_is_that_of_the_greater_number(tmp_path: Path) -> None:
    for version, error in ((0, 0.01), (9, 0.1), (10, 0.11)):
        folders.trained(tmp_path / f"version_{version}", error=error)
    assert in_short(find_results(tmp_path)) == ["test error 11.00%, seed 0"]
