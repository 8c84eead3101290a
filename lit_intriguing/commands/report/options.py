"""What is asked for: the options of `lightning report`, and what is done with them."""

from dataclasses import dataclass
from pathlib import Path

import lit_intriguing
from lit_intriguing.commands.report.contents import Contents, Gathering
from lit_intriguing.commands.report.found import find_results
from lit_intriguing.commands.report.markdown import claims_table
from lit_intriguing.commands.report.page import html
from lit_intriguing.configuration import shipped
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.paper.claims import read_claims
from lit_intriguing.paper.plan import FULL, read_plan
from lit_intriguing.paper.records import Records, versions
from lit_intriguing.whole_files import write_bytes

NAME = "report.html"


@dataclass
class Report:
    """Write what a folder holds onto one page, beside the paper's numbers.

    Args:
        folder: With what commands have left, at any depth.
        output: The page (null: report.html in the folder).
        title: Heading.
        markdown: A file for the table of claims in Markdown as well (null: none).
    """

    folder: str
    output: str | None = None
    title: str = "Intriguing properties of neural networks"
    markdown: str | None = None

    def run(self) -> None:
        """Write the page, and print where it is and what it holds.

        Raises:
            UsageError: There is no such folder, or a file for the table is there already.
            UserError: A file cannot be written.
        """
        if self.markdown is not None and Path(self.markdown).exists():
            raise UsageError(f"--markdown {self.markdown} is there already: name another file.")
        contents = self.contents()
        path = Path(self.folder, NAME) if self.output is None else Path(self.output)
        _write(path, html(contents), "--output")
        if self.markdown is not None:
            _write(Path(self.markdown), claims_table(contents), "--markdown")
            print(f"{self.markdown}: the claims", flush=True)
        print(f"{path}: {in_words(contents)}", flush=True)

    def contents(self) -> Contents:
        """Return what the page says.

        Raises:
            UsageError: There is no such folder.
        """
        root = Path(self.folder)
        if not root.is_dir():
            raise UsageError(
                f"no folder {root}. Name one in which commands have left results, or make one: "
                "lightning reproduce --quick"
            )
        source = shipped.results()
        full = read_plan(source, FULL)
        name = Records(root).plan() or FULL
        plan = full if name == FULL else read_plan(source, name)
        made_by = {"lit-intriguing": lit_intriguing.__version__, **versions()}
        gathering = Gathering(root, find_results(root), plan, full)
        return gathering.contents(self.title, read_claims(source), made_by)


def _write(path: Path, text: str, option: str) -> None:
    try:
        write_bytes(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}. Name another: {option}.") from error


def in_words(contents: Contents) -> str:
    """Return a line for a terminal: how much of the paper a page holds, and what is missing."""
    without = dict.fromkeys(Path(one.claim.page).stem for one in contents.claims if not one.here)
    line = f"{contents.measured} of {len(contents.claims)} claims have results here"
    if without:
        line += f"; those of these recipes have none: {', '.join(without)}"
    further = sum(not one.problem for one in contents.others)
    if further:
        line += f"; further results on the page: {further}"
    lines = [line]
    lines += [f"  {one.folder}: {one.problem}" for one in contents.problems]
    return "\n".join(lines)
