"""The rows of a run's `metrics.csv`, read without what writes them: Lightning takes seconds to
load."""

import csv
from pathlib import Path
from typing import Any

from lit_gan.records.files import Damaged


def read_table(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns and rows of a table; a last row that a kill or a full disk cut off is left out.

    Raises:
        Damaged: it is no table of a run.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # its last value may have lost digits
            lines.pop()
        columns, *cells = csv.reader(lines or [""], strict=True)
        if "update" not in columns or any(len(row) != len(columns) for row in cells):
            raise ValueError(MISSING)
        rows = [dict(zip(columns, row, strict=True)) for row in cells]
        if not all(row["update"].isdecimal() for row in rows):
            raise ValueError(MISSING)
    except (ValueError, csv.Error) as error:
        raise Damaged(path, error, "repair it, or delete it to go on with a new table") from error
    return columns, rows


MISSING = "a column or a number of updates is missing"
