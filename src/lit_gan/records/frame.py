"""`lit_gan.results`: the scores and the curves of a run as tables, for notebooks and other
programs."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from lit_gan.errors import UserError
from lit_gan.records.layout import metrics_path
from lit_gan.records.paths import expand_home, no_run
from lit_gan.records.results import Record, Results
from lit_gan.records.table import read_table

FACTS = ("update", "checkpoint", "weights", "protocol")
"""What the table of scores says of each evaluation, before its scores."""

SHOWN = 20
"""A longer table is shown by its first and its last rows, so many together."""


@dataclass(frozen=True, repr=False)
class Frame:
    """A table that a notebook shows: `frame["update"]` is a column, iterating gives the rows.

    Attributes:
        columns: their names.
        rows: one mapping from column to value each; a number that is not there is NaN.
    """

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        if column not in self.columns:
            raise KeyError(f"there is no column {column!r}; the columns are {', '.join(self.columns)}")
        return [row[column] for row in self.rows]

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises:
            UserError: pandas, which lit_gan itself does not need, is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_pandas() needs pandas, which is not installed: pip install pandas.") from error
        return pandas.DataFrame(list(self.rows), columns=list(self.columns))

    def cells(self) -> list[list[str]]:
        """The rows as one sees them, without the middle of a long table."""
        written = [[written_value(row[column]) for column in self.columns] for row in self.rows]
        half, gap = SHOWN // 2, ["..."] * len(self.columns)
        return written if len(written) <= SHOWN else [*written[:half], gap, *written[-half:]]

    def __repr__(self) -> str:
        lines = [list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.rjust, line, widths)) for line in lines]
        return "\n".join([*text, f"[{len(self)} rows]"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>" for cells in self.cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{len(self)} rows</p>"


def written_value(value: Any) -> str:
    """A value of a table: numbers with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class RunFrames(NamedTuple):
    """What a run has measured.

    Attributes:
        scores: one row for each evaluation, during the training, at its end and later ones.
        curves: one row for each generator update at which a loss or another curve was logged, as in
            metrics.csv.
    """

    scores: Frame
    curves: Frame

    def __repr__(self) -> str:
        return f"scores\n{self.scores}\n\ncurves\n{self.curves}"

    def _repr_html_(self) -> str:
        return f"<h4>scores</h4>{self.scores._repr_html_()}<h4>curves</h4>{self.curves._repr_html_()}"


def results(run: str | PathLike) -> RunFrames:
    """The scores and the curves of a run, finished or not, each as a table.

    `scores, curves = lit_gan.results("runs/...")`; a column is `curves["d/hinge"]`, a pandas data
    frame `curves.to_pandas()`. Everything else that a run records is in its results.json.

    Args:
        run: the run's directory.

    Raises:
        UserError: the directory is not that of a run, or a file in it is damaged.
    """
    directory = Path(expand_home("run", str(run)))
    record = Results(directory)
    if not record.path.is_file():
        raise no_run("run", directory, record.path)
    return RunFrames(scores_of(record), curves_of(metrics_path(directory)))


def scores_of(record: Results) -> Frame:
    """One row for each evaluation of a run, in the order in which they were made."""
    content = record.content
    evaluations = [*content["course"], content["final"], *content.get("evaluations", [])]
    rows = [{**facts(each), **each["scores"]} for each in evaluations if each is not None]
    names = dict.fromkeys(name for row in rows for name in row)
    return filled(list(dict.fromkeys([*FACTS, *names])), rows)


def facts(evaluation: Record) -> Record:
    """What identifies an evaluation; the protocol by its name."""
    return {name: evaluation.get(name) for name in FACTS} | {"protocol": evaluation["protocol"]["name"]}


def curves_of(path: Path) -> Frame:
    """The table of metrics.csv, in numbers; no rows if nothing has been logged yet."""
    columns, rows = read_table(path) if path.is_file() else (["update"], [])
    values = [{name: float(value) for name, value in row.items() if value} for row in rows]
    return filled(columns, [row | {"update": int(row["update"])} for row in values])


def filled(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Frame:
    """A table of rows in which some values are missing."""
    return Frame(columns, [{name: number_or_nan(row.get(name)) for name in columns} for row in rows])


def number_or_nan(value: Any) -> Any:
    """A value, or NaN where there is none: results.json writes null for what was not finite."""
    return math.nan if value is None else value
