"""The page: one HTML file that asks nothing of anywhere."""

import re
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lit_intriguing.commands.report.contents import Contents
from lit_intriguing.commands.report.pictures import data_uri, share_of
from lit_intriguing.commands.report.result import Result, Value
from lit_intriguing.training_runs.progress import duration

TEMPLATES = "templates"


def html(contents: Contents) -> str:
    """Return the page.

    Args:
        contents: What it says.
    """
    environment = Environment(
        loader=PackageLoader(__package__, TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    limit = share_of(sum(len(one.pictures) for one in _results(contents)))
    environment.filters |= {
        "anchor": anchor,
        "duration": duration,
        "uri": lambda content: Markup(data_uri(content, limit)),
    }
    environment.tests["value"] = lambda cell: isinstance(cell, Value)
    style = resources.files(__package__).joinpath(TEMPLATES, "style.css").read_text("utf-8")
    return environment.get_template("report.html").render(page=contents, style=Markup(style))


def anchor(text: str) -> str:
    """Return a heading's name for links.

    >>> anchor("figures 1 and 2")
    'figures-1-and-2'
    """
    return re.sub(r"\W+", "-", text).strip("-")


def _results(contents: Contents) -> list[Result]:
    shown = [result for one in contents.places if not one.place.view for result in one.results]
    return [*shown, *contents.others]
