"""The page of a report: one HTML file that holds everything and needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import accumulate
from pathlib import Path
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from lit_gan.figures.style import figure_bytes
from lit_gan.reporting.gallery import CellList, Film, Sheet, Tiles
from lit_gan.reporting.marks import inlined, with_classes
from lit_gan.reporting.tables import Table

TEMPLATE, STYLE, SCRIPT = (
    Path(__file__).with_name(f"page.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js")
)
HIDDEN_ONLY = "What is switched off is hidden only: best settings, ranks and correlations are those of all."


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with its caption.

    Attributes:
        name: of its files, without an ending.
        sheet: the pictures of a figure that is made of pictures, which the page holds one by one in
            its place.
    """

    name: str
    caption: str
    figure: Figure
    sheet: Sheet | Tiles | None = None

    @cached_property
    def svg(self) -> str:
        """The figure as SVG."""
        return with_classes(figure_bytes(self.figure, "svg").decode())

    @property
    def files(self) -> dict[str, bytes]:
        """The content of its files by their endings, png and svg."""
        return {"png": figure_bytes(self.figure, "png"), "svg": self.svg.encode()}

    def html(self) -> str:
        """The figure as the page holds it, with its SVG inside."""
        body = self.sheet.html() if self.sheet else inlined(self.svg, self.name)
        return f"<figure>{body}<figcaption>{escape(self.caption)}</figcaption></figure>"


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        text: a paragraph under the title.
        galleries: what has no files beside the page.
        hidden: tables that open on a click.
    """

    title: str
    text: str = ""
    pictures: Sequence[CaptionedFigure] = field(default_factory=list)
    tables: Sequence[Table] = field(default_factory=list)
    galleries: Sequence[Film | CellList] = field(default_factory=list)
    hidden: Sequence[Table] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the section has nothing to show."""
        return not (self.pictures or self.tables or self.galleries or self.hidden)

    def html(self, number: int) -> str:
        """The section as the page holds it.

        Args:
            number: its place on the page, to which the table of contents links.
        """
        parts = [f'<h2 id="s{number}">{escape(self.title)}</h2>']
        parts += [f"<p>{escape(self.text)}</p>"] if self.text else []
        parts += [each.html() for each in (*self.pictures, *self.tables, *self.galleries)]
        parts += [f"<details><summary>{escape(each.title)}</summary>{each.html()}</details>" for each in self.hidden]
        return "\n".join(parts)

    @property
    def files(self) -> dict[str, bytes]:
        """The content of the files of its figures and tables by their names."""
        parts = (*self.pictures, *self.tables, *self.hidden)
        return {f"{part.name}.{ending}": content for part in parts for ending, content in part.files.items()}


class Switch(NamedTuple):
    """A value of an axis that a reader may switch off.

    Attributes:
        mark: the class of what shows it (`reporting.marks`).
        colour: in which it is drawn; the empty string for none.
    """

    mark: str
    name: str
    colour: str = ""

    def html(self) -> str:
        """Its box."""
        square = f'<i style="background:{self.colour}"></i>' if self.colour else ""
        return f"<label><input type=checkbox checked value={self.mark}> {square}{escape(self.name)}</label>"


@dataclass(frozen=True)
class Part:
    """What the page says of one sweep or run.

    Attributes:
        title: of the sweep or run.
        switches: the name of an axis -> its values, which a reader may switch off.
    """

    title: str
    sections: Sequence[Section]
    switches: Mapping[str, Sequence[Switch]] = field(default_factory=dict)

    def html(self, first: int) -> str:
        """The part as the page holds it.

        Args:
            first: the number of its first section.
        """
        bodies = [each.html(number) for number, each in enumerate(self.sections, first)]
        return "\n".join(["<article>", self.form(), *bodies, "</article>"])

    def form(self) -> str:
        """A box for each value that can be switched off, and buttons for all of an axis; hidden
        until the script shows it."""
        buttons = "".join(f"<button type=button value={each}>{each}</button> " for each in ("all", "none"))
        lines = [
            f"<fieldset><legend>{escape(axis)}</legend>{' '.join(each.html() for each in values)} {buttons}</fieldset>"
            for axis, values in self.switches.items()
        ]
        return f"<form hidden>\n{chr(10).join(lines)}\n<p>{HIDDEN_ONLY}</p></form>" if lines else ""


def html_page(title: str, parts: Sequence[Part]) -> str:
    """The content of the HTML file, with a table of contents before its parts.

    Of several parts, the titles of sections begin with that of their part.
    """
    named = [
        f"{part.title}: {each.title}" if len(parts) > 1 else each.title for part in parts for each in part.sections
    ]
    firsts = accumulate((len(part.sections) for part in parts), initial=0)
    marks = {each.mark for part in parts for values in part.switches.values() for each in values}
    switches = ", ".join(f".no-{each} .{each}" for each in sorted(marks))
    return Template(TEMPLATE).substitute(
        title=escape(title),
        style=STYLE + (f"{switches} {{ display: none; }}" if marks else ""),
        contents="\n".join(f'<li><a href="#s{number}">{escape(each)}</a></li>' for number, each in enumerate(named)),
        parts="\n".join(part.html(first) for part, first in zip(parts, firsts, strict=False)),
        script=SCRIPT,
    )
