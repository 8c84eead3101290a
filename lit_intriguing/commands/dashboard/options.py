"""What is asked for: the options of `lightning dashboard`, and what is done with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    LipschitzMonitor,
    RobustnessEvaluation,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.commands.dashboard.panels import Section
from lit_intriguing.commands.dashboard.sections import sections
from lit_intriguing.commands.dashboard.views import Place, save, specification
from lit_intriguing.configuration.instances import instance
from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.splice import INPUT
from lit_intriguing.whole_files import write_json


@dataclass
class Dashboard:
    """Lay out a W&B workspace and a report for what the callbacks of a run log.

    The panels match names, not runs: one dashboard serves all runs of a project.

    Args:
        project: Of W&B.
        entity: User or team (null: that of the login).
        name: Of the workspace, and the report's title.
        recipe: One or several `fit` configurations, whose callbacks are shown (null: those of this
            package that measure, with their usual names).
        labels: Whether the runs have class labels; false shows losses in place of errors.
        report: Make the report too.
        file: Write what W&B would get to this JSON file, without a login or a network.
    """

    project: str = "lit-intriguing"
    entity: str | None = None
    name: str = "lit-intriguing"
    recipe: str | list[str] | None = None
    labels: bool = True
    report: bool = True
    file: str | None = None

    def run(self) -> None:
        """Send the dashboard to W&B and print where it is, or write it to the file.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        shown = self.sections()
        place = Place(self.project, self.entity or "", self.name)
        if self.file is None:
            print("\n".join(save(shown, place, self.report)))
            return
        path = Path(self.file)
        try:
            write_json(path, specification(shown, place, self.report))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error}.") from error
        panels = sum(len(one.panels) for one in shown)
        titles = ", ".join(one.title for one in shown)
        print(f"{panels} panels in {path}: {titles}")

    def sections(self) -> list[Section]:
        """Return what is shown.

        Raises:
            UsageError: No such recipe, or one without callbacks.
        """
        return sections(self._callbacks(), self.labels)

    def _callbacks(self) -> list[Callback]:
        if self.recipe is None:
            return usual_callbacks()
        files = [self.recipe] if isinstance(self.recipe, str) else self.recipe
        found = _callbacks_in(merged_files(files))
        if not found:
            raise UsageError(
                f"recipe: no callbacks in {', '.join(files)}; without recipe, those of this "
                "package are shown."
            )
        return found


def usual_callbacks() -> list[Callback]:
    """Return the callbacks of this package that measure, and adversarial training."""
    return [
        AdversarialTraining({INPUT: PerturbedLayer(GradientAttack(eps=1.0))}),
        AdversarialExamples(),
        TransferEvaluation(),
        RobustnessEvaluation(),
        LipschitzMonitor(),
        UnitAnalysis(layers=[INPUT]),
    ]


def _callbacks_in(config: Mapping[str, Any]) -> list[Callback]:
    """Make the callbacks of a `fit` configuration."""
    given = (config.get("trainer") or {}).get("callbacks") or []
    specs = given if isinstance(given, list) else [given]
    return [instance(spec, Callback, "callback") for spec in specs]
