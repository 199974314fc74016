"""Tables as CSV, Markdown and HTML, and the numbers in them as text."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO

from lit_gan.records.score_names import four_digits
from lit_gan.reporting.statistics import Summary

NONE = "–"
"""What stands in a table where there is no value."""


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns.

    Attributes:
        name: of its files, without an ending.
        title: one line that says what the table shows.
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
        """The table as other programs read it."""
        content = StringIO(newline="")
        csv.writer(content).writerows([self.columns, *self.rows])
        return content.getvalue()

    def markdown(self) -> str:
        """The table as a README holds it, below its title."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        cells = [[str(cell).replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def html(self) -> str:
        """The table as the page of a report holds it, with its title as caption."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "\n".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<div class=scroll><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def number_text(value: float | None) -> str:
    """A number with four digits; a dash for none and for what is not finite."""
    return NONE if value is None or not math.isfinite(value) else four_digits(value)


def plus_minus(value: float, std: float | None) -> str:
    """Mean and deviation, "7.42 ± 0.08", to the second digit of the deviation; without one the mean
    alone."""
    if not std:
        return number_text(value) if std is None else f"{number_text(value)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(std)))
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"


def summary_text(found: Summary | None) -> str:
    """Mean ± standard deviation over seeds; a dash where there is none."""
    return plus_minus(found.mean, found.std) if found else NONE


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: "95 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
