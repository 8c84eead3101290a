"""TensorBoard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import pixels
from lit_intriguing.loggers.configuration import flat
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.tables import markdown_table
from lit_intriguing.whole_files import write_bytes


@dataclass(frozen=True)
class TensorBoard:
    """TensorBoard: `<key>/figure` among the images, `<key>/table` among the texts; HPARAMS."""

    logger: Any

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Log an image."""
        # `add_figure` would bring pyplot and its global state in.
        self.logger.experiment.add_image(
            f"{key}/figure", pixels(figure), when.logged, dataformats="HWC"
        )

    def table(self, key: str, table: Table, when: When) -> None:
        """Log the table as Markdown, without pictures."""
        text = markdown_table(table.columns, table.rows)
        self.logger.experiment.add_text(f"{key}/table", text, when.logged)

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Write `config.yaml`, and a row of the tab HPARAMS.

        Which metrics that tab shows is not said: TensorBoard then shows all scalars of the run,
        and those of runs with other ones, each as it is in the end.
        """
        from torch.utils.tensorboard.summary import hparams

        writer = self.logger.experiment
        write_bytes(Path(self.logger.log_dir, "config.yaml"), text.encode())
        parameters = {key: "null" if one is None else one for key, one in flat(values).items()}
        self.logger.hparams.update(parameters)
        _, start, _ = hparams(parameters, {})  # type: ignore[no-untyped-call]
        writer.file_writer.add_summary(start)
