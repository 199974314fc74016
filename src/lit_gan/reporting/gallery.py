"""Samples and cells on the page of a report: every picture by itself, so that a reader can switch it off."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lit_gan.reporting.tables import NONE, tag

SIDE, SMALL_SIDE = 240, 120
"""Pictures have at most so many pixels on their longer side; those beside the scores of a cell."""
QUALITY = 78
"""Of WebP: a grid of photographs then takes a tenth of what PNG takes, and shows the same."""
TEXTS = 4
"""So many lines of a text stand in place of a picture."""


class Strip(NamedTuple):
    """Samples in a row.

    Attributes:
        name: of the row.
        marks: its classes (`reporting.marks`).
        paths: the file of each picture or text, None where there is none.
    """

    name: str
    marks: str
    paths: Sequence[Path | None]


@dataclass(frozen=True)
class Sheet:
    """Samples in a table.

    Attributes:
        columns: name -> its classes (`reporting.marks`).
    """

    columns: dict[str, str]
    strips: Sequence[Strip]

    def html(self) -> str:
        """The table as the page holds it."""
        head = "".join(f"{tag('th', marks)}{escape(name)}</th>" for name, marks in self.columns.items())
        rows = "\n".join(map(self.row, self.strips))
        table = f"<table class=sheet><thead><tr><th></th>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
        return f"<div class=scroll>{table}</div>"

    def row(self, strip: Strip) -> str:
        """One row of the table."""
        places = zip(self.columns.items(), strip.paths, strict=True)
        entries = [f"{tag('td', marks)}{shown(path, f'{strip.name}, {name}')}</td>" for (name, marks), path in places]
        return f"{tag('tr', strip.marks)}<th>{escape(strip.name)}</th>{''.join(entries)}</tr>"


@dataclass(frozen=True)
class Tiles:
    """Samples under their names, several in a row; each strip has one file."""

    strips: Sequence[Strip]

    def html(self) -> str:
        """The tiles as the page holds them."""
        return f"<div class=frames>{''.join(map(self.tile, self.strips))}</div>"

    def tile(self, strip: Strip) -> str:
        """One picture with its name."""
        picture = shown(strip.paths[0], strip.name)
        return f"{tag('figure', strip.marks)}{picture}<figcaption>{escape(strip.name)}</figcaption></figure>"


@dataclass(frozen=True)
class Film:
    """Samples of the same latent vectors over a training, a strip for each of several runs.

    Where there is JavaScript, a slider chooses one update, of which all runs stand side by side.

    Attributes:
        updates: the generator updates that are shown, one for each file of a strip.
    """

    updates: Sequence[int]
    strips: Sequence[Strip]

    def html(self) -> str:
        """The strips as the page holds them."""
        slider = f'<input type=range min=0 max={len(self.updates)} value=0 autocomplete="off">'
        tool = f"<p class=tool hidden><label>one update {slider}</label> <output></output></p>"
        return f"<div class=film>{tool}\n{chr(10).join(map(self.row, self.strips))}</div>"

    def row(self, strip: Strip) -> str:
        """The samples of one run."""
        frames = [
            f"<figure data-update={update}>{shown(path, f'{strip.name}, update {update}')}"
            f"<figcaption>update {update}</figcaption></figure>"
            for update, path in zip(self.updates, strip.paths, strict=True)
        ]
        title = f"<h3>{escape(strip.name)}</h3>" if strip.name else ""
        return f'<div class="strip {strip.marks}">{title}<div class=frames>{"".join(frames)}</div></div>'


class ListedCell(NamedTuple):
    """What the page says of one cell.

    Attributes:
        samples: the file of its last samples; None if it has none.
        facts: its state, how far it came, its scores and its directory, one text for each column.
    """

    samples: Path | None
    facts: Sequence[str]


@dataclass(frozen=True)
class CellList:
    """The cells at one place, to which the bars and numbers that are their means lead.

    Attributes:
        anchor: the id of the list on the page.
        marks: its classes (`reporting.marks`).
        columns: the names of the cells' facts.
    """

    anchor: str
    title: str
    marks: str
    columns: Sequence[str]
    cells: Sequence[ListedCell]

    def html(self) -> str:
        """The list as the page holds it."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        rows = "\n".join(map(self.row, self.cells))
        table = f"<table><thead><tr><th></th>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
        title = f"<h3>{escape(self.title)}</h3>"
        return f'<div id="{self.anchor}" class="cells {self.marks}">{title}<div class=scroll>{table}</div></div>'

    def row(self, cell: ListedCell) -> str:
        """The line about one cell."""
        facts = "".join(f"<td>{escape(fact)}</td>" for fact in cell.facts)
        return f"<tr><td>{shown(cell.samples, f'samples of {self.title}', SMALL_SIDE)}</td>{facts}</tr>"


def shown(path: Path | None, name: str, side: int = SIDE) -> str:
    """A picture, or the first lines of a text, as HTML; a dash where there is no file.

    Args:
        name: what a reader who cannot see the picture is told of it.
        side: the most pixels on its longer side.
    """
    if path is None:
        return NONE
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()[:TEXTS]
        return f"<pre>{escape(chr(10).join(lines))}</pre>"
    return f'<img src="{thumbnail(path, side)}" alt="{escape(name)}">'


def thumbnail(path: Path, side: int) -> str:
    """A picture made small, as an address that holds it."""
    content = io.BytesIO()
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side))
    small.save(content, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
