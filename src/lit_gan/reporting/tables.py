"""Tables, as CSV, Markdown and HTML."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO

from lit_gan.reporting.statistics import Summary

NONE = "–"
"""What is not there."""


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns.

    Attributes:
        name: of its files.
        title: what it shows, one line.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def files(self) -> dict[str, bytes]:
        """The content of its files by their endings, csv and md."""
        return {"csv": self.csv().encode(), "md": self.markdown().encode()}

    def csv(self) -> str:
        """For other programs."""
        content = StringIO(newline="")
        csv.writer(content).writerows([self.columns, *self.rows])
        return content.getvalue()

    def markdown(self) -> str:
        """For a README."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        cells = [[str(cell).replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def html(self) -> str:
        """For the page."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "\n".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<div class=scroll><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def number(value: float | None) -> str:
    """Four digits."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"


def plus_minus(value: float, std: float | None) -> str:
    """ "7.42 ± 0.08", the mean to the last digit of the deviation's two; without a deviation four digits."""
    if not std:
        return number(value) if std is None else f"{number(value)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(std)))
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"


def written(found: Summary | None) -> str:
    """Mean ± standard deviation over seeds."""
    return plus_minus(found.mean, found.std) if found else NONE


def duration(seconds: float) -> str:
    """ "95 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
