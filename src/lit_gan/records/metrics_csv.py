"""`metrics.csv`: one row for each generator update at which anything was logged."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lit_gan.records.files import Unwritable, write_text
from lit_gan.records.layout import metrics_path
from lit_gan.records.table import read_table


class MetricsCsv(Logger):
    """A table that grows row by row and survives a resume; a new column rewrites it.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path):
        super().__init__()
        self.path = metrics_path(directory)
        self.columns = ["update"]
        self.rows: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """The name of this logger for Lightning."""
        return "csv"

    @property
    def version(self) -> str:
        """No version: a run has one table."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Leaves the settings to the run's config, which is a file of its own."""

    @rank_zero_only
    def resume(self, update: int) -> None:
        """Reads the rows up to a generator update; the later ones are lost with the next `rewrite`.

        Raises:
            Damaged: the file cannot be read.
        """
        if self.path.exists():
            self.columns, rows = read_table(self.path)
            self.rows = [row for row in rows if int(row["update"]) <= update]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds values to the row of generator update `step`; a callback of one's own may have them as tensors."""
        metrics = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
        new_columns = [name for name in metrics if name not in self.columns]
        same_row = bool(self.rows) and int(self.rows[-1]["update"]) == step
        if not same_row:
            self.rows.append({"update": step})
        self.rows[-1].update(metrics)
        self.columns += new_columns
        if new_columns or same_row:
            self.rewrite()
        else:
            self.append()

    def append(self) -> None:
        """Writes the last row at the end of the file.

        Raises:
            Unwritable: it cannot be, so that the row may be cut off, which `read_table` tolerates.
        """
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns, restval="").writerow(self.rows[-1])
        except OSError as error:
            raise Unwritable.of(self.path, error) from error

    def rewrite(self) -> None:
        """Replaces the whole table."""
        write_text(self.path, self.text())

    def text(self) -> str:
        """The content of the file."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()
