"""A dashboard in the words of W&B: a workspace and a report, by the library wandb-workspaces."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lit_intriguing.attacks.adapters.named import library
from lit_intriguing.commands.dashboard.panels import Lines, Panel, Picture, Section
from lit_intriguing.errors import UserError
from lit_intriguing.loggers.summaries import STEP
from lit_intriguing.private import of_wandb_workspaces


@dataclass(frozen=True)
class Place:
    """Where a dashboard belongs.

    Attributes:
        project: Of W&B.
        entity: User or team.
        name: Of the workspace, and the report's title.
    """

    project: str
    entity: str
    name: str


class Views:
    """Makes W&B's objects.

    Raises:
        MissingLibraryError: If wandb-workspaces is not installed.
    """

    def __init__(self) -> None:
        library("wandb_workspaces")
        self._workspaces = importlib.import_module("wandb_workspaces.workspaces")
        self._reports = importlib.import_module("wandb_workspaces.reports.v2")

    def workspace(self, sections: Sequence[Section], place: Place) -> Any:
        """Return a workspace with these sections."""
        made = [
            self._workspaces.Section(
                name=one.title, panels=[self._panel(panel) for panel in one.panels], is_open=True
            )
            for one in sections
        ]
        return self._workspaces.Workspace(
            entity=place.entity,
            project=place.project,
            name=place.name,
            sections=made,
            settings=self._workspaces.WorkspaceSettings(x_axis=STEP),
        )

    def report(self, sections: Sequence[Section], place: Place) -> Any:
        """Return a report with these sections, each with its text and panels."""
        blocks: list[Any] = []
        for one in sections:
            runs = self._reports.Runset()  # of the report's own project
            panels = [self._panel(panel, self._layout(at)) for at, panel in enumerate(one.panels)]
            grid = self._reports.PanelGrid(runsets=[runs], panels=panels)
            blocks += [self._reports.H2(one.title), self._reports.P(one.text), grid]
        return self._reports.Report(
            entity=place.entity, project=place.project, title=place.name, blocks=blocks,
            width="fluid",
        )  # fmt: skip

    def _layout(self, number: int) -> Any:
        """Return the place of a panel in a report, 24 units wide: two side by side."""
        return self._reports.Layout(x=12 * (number % 2), y=8 * (number // 2), w=12, h=8)

    def _panel(self, panel: Panel, layout: Any = None) -> Any:
        where = {} if layout is None else {"layout": layout}
        if isinstance(panel, Lines):
            return self._reports.LinePlot(
                title=panel.title, x=STEP, metric_regex=panel.pattern, log_y=panel.log or None,
                **where,
            )  # fmt: skip
        if isinstance(panel, Picture):
            return self._reports.MediaBrowser(
                title=panel.title, media_keys=[panel.key], num_columns=1, **where
            )
        return self._reports.WeavePanelSummaryTable(table_name=panel.key, **where)


def specification(sections: Sequence[Section], place: Place, report: bool) -> dict[str, Any]:
    """Return what would be sent to W&B, as plain values.

    Args:
        sections: What is shown.
        place: Where.
        report: Whether to make the report too.

    Raises:
        MissingLibraryError: If wandb-workspaces is not installed.
    """
    views = Views()
    made = {"workspace": views.workspace(sections, place)}
    if report:
        made["report"] = views.report(sections, place)
    return {name: of_wandb_workspaces.as_json(view) for name, view in made.items()}


def save(sections: Sequence[Section], place: Place, report: bool) -> list[str]:
    """Send the views to W&B and return their addresses.

    Args:
        sections: What is shown.
        place: Where; without an entity, that of the login.
        report: Whether to make the report too.

    Raises:
        MissingLibraryError: If wandb-workspaces is not installed.
        UserError: There is no login, no connection, or W&B refuses.
    """
    import wandb

    views = Views()
    try:
        entity = place.entity or wandb.Api().default_entity
        if not entity:
            raise UserError("the login at W&B names no entity: give it by --entity.")
        here = Place(place.project, entity, place.name)
        made = [views.workspace(sections, here).save()]
        if report:
            made.append(views.report(sections, here).save())
        return [str(view.url) for view in made]
    except UserError:
        raise
    except Exception as error:  # of many kinds: no key, no network, no such project
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"W&B does not take the dashboard: {text} (--file dashboard.json writes it without "
            "W&B.)"
        ) from error
