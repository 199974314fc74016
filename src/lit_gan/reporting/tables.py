"""Tables as CSV, Markdown, LaTeX and HTML, and the numbers in them as text."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from lit_gan.records.score_names import four_digits
from lit_gan.reporting.statistics import Summary

NONE = "–"
"""What stands in a table where there is no value."""


class Measured(str):
    """An entry of a table that shows a text and holds the numbers behind it in full precision.

    Attributes:
        numbers: what CSV has in place of the text: a column each, whose name is that of the table's
            column and the key, "best std" for the key "std"; of the empty key, the column's name
            alone.
        link: the anchor on the page that the entry leads to; the empty string for none.
    """

    numbers: Mapping[str, Any]
    link: str

    def __new__(cls, text: str, numbers: Mapping[str, Any], link: str = "") -> "Measured":
        """The text with the numbers behind it."""
        entry = super().__new__(cls, text)
        entry.numbers, entry.link = numbers, link
        return entry


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns.

    Attributes:
        name: of its files, without an ending.
        title: one line that says what the table shows.
        row_marks, column_marks: the classes of each row and of each column on a page, by which a
            reader switches them off (`reporting.marks`); empty for a table of which all stays.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    row_marks: Sequence[str] = ()
    column_marks: Sequence[str] = ()

    @property
    def files(self) -> dict[str, bytes]:
        """The content of its files by their endings, csv, md and tex."""
        return {"csv": self.csv().encode(), "md": self.markdown().encode(), "tex": self.latex().encode()}

    def csv(self) -> str:
        """The table as other programs read it: numbers in columns of their own, in full
        precision."""
        keys = [numbers_in(column) for column in zip(*self.rows, strict=True)] or [[""]] * len(self.columns)
        names = [f"{name} {key}".strip() for name, own in zip(self.columns, keys, strict=True) for key in own]
        rows = [
            [value for entry, own in zip(row, keys, strict=True) for value in values(entry, own)] for row in self.rows
        ]
        content = StringIO(newline="")
        csv.writer(content).writerows([names, *rows])
        return content.getvalue()

    def markdown(self) -> str:
        """The table as a README holds it, below its title."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        cells = [[str(cell).replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def latex(self) -> str:
        """The table as a paper holds it, with the rules of the package booktabs; graphicx makes one that
        is wider than the text as narrow as that."""
        head, *body = map(latex_row, (self.columns, *self.rows))
        inside = ["\\toprule", head, "\\midrule", *body, "\\bottomrule"]
        lines = [
            "% \\usepackage{booktabs,graphicx}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex_text(self.title)}}}",
            f"\\label{{tab:{self.name}}}",
            "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
            f"\\begin{{tabular}}{{{'l' * len(self.columns)}}}",
            *inside,
            "\\end{tabular}}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """The table as the page of a report holds it, with its title as caption."""
        rows = self.row_marks or [""] * len(self.rows)
        columns = self.column_marks or [""] * len(self.columns)
        head = "".join(
            f"{tag('th', mark)}{escape(name)}</th>" for name, mark in zip(self.columns, columns, strict=True)
        )
        lines = [
            tag("tr", mark) + "".join(map(html_entry, row, columns)) + "</tr>"
            for row, mark in zip(self.rows, rows, strict=True)
        ]
        caption, body = f"<caption>{escape(self.title)}</caption>", "\n".join(lines)
        return f"<div class=scroll><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def numbers_in(column: Sequence[str]) -> list[str]:
    """The keys of the numbers behind the entries of a column; for a column of plain text, one empty
    key."""
    found = [key for entry in column if isinstance(entry, Measured) for key in entry.numbers]
    return list(dict.fromkeys(found)) or [""]


def values(entry: str, keys: Sequence[str]) -> list[Any]:
    """What CSV has in place of an entry: a number for each key, and nothing where there is none."""
    if isinstance(entry, Measured):
        return [entry.numbers.get(key) for key in keys]
    return [entry] if keys == [""] else [None] * len(keys)


def tag(name: str, mark: str) -> str:
    """The start of an HTML element, with its classes if it has any."""
    return f'<{name} class="{mark}">' if mark else f"<{name}>"


def html_entry(entry: str, mark: str) -> str:
    """An entry as a cell of an HTML table, which leads to what the entry is the mean of."""
    text = escape(str(entry))
    link = getattr(entry, "link", "")
    return f'{tag("td", mark)}<a href="#{link}">{text}</a></td>' if link else f"{tag('td', mark)}{text}</td>"


LATEX = {each: f"\\{each}" for each in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\n": " ",
    "|": r"\textbar{}",
    "−": "$-$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
}
"""What LaTeX needs in place of characters that mean something else to it, or that its fonts lack."""


def latex_text(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(LATEX.get(letter, letter) for letter in str(text))


def latex_row(entries: Sequence[str]) -> str:
    """A row as LaTeX prints it.

    The empty group before the first entry keeps LaTeX, which looks for `[length]` and `*` behind
    the end of the row before and behind a rule, from taking an entry for one.
    """
    row = " & ".join(map(latex_text, entries)) + r" \\"
    return f"{{}}{row}" if row.lstrip()[0] in "[*" else row


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


def measured_number(value: float | None) -> Measured:
    """A number with four digits, and behind it all of them."""
    return Measured(number_text(value), {"": value})


def measured_summary(found: Summary | None) -> str:
    """Mean ± standard deviation over seeds, and behind them all digits and the number of seeds; a
    dash where there is none."""
    return Measured(plus_minus(found.mean, found.std), summary_numbers(found)) if found else NONE


def summary_numbers(found: Summary) -> dict[str, Any]:
    """The numbers of a summary by the names that their columns have."""
    return {"mean": found.mean, "std": found.std, "n": found.n}


def measured_time(seconds: float) -> Measured:
    """A time in the unit that suits it, and behind it the seconds."""
    return Measured(time_text(seconds), {"seconds": seconds})


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: "95 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
