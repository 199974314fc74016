"""`metrics.csv`: one row for each generator update at which anything was logged."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only


class MetricsCsv(Logger):
    """A table that grows row by row and survives a resume; a new column rewrites it.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path):
        super().__init__()
        self.path = directory / "metrics.csv"
        self.columns = ["update"]
        self.rows: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one file."""
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The config has a file of its own."""

    @rank_zero_only
    def resume(self, update: int) -> None:
        """Keeps the rows up to a generator update and drops later ones."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                self.rows = [row for row in reader if row["update"].isdigit() and int(row["update"]) <= update]
                self.columns = list(reader.fieldnames or ["update"])
        self.rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds values to the row of generator update `step`."""
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
        """Writes the last row at the end of the file."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(self.rows[-1])

    def rewrite(self) -> None:
        """Writes the whole table under another name and renames it."""
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(temporary, self.path)
