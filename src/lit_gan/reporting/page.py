"""The page of a report: one HTML file that holds everything and needs nothing else."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from string import Template

from matplotlib.figure import Figure

from lit_gan.figures.style import figure_bytes
from lit_gan.reporting.tables import Table

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 15px/1.5 Georgia, "Times New Roman", serif; color: #222; }
body { max-width: 62em; margin: 2em auto; padding: 0 1em; }
h1, h2, h3, nav, table, figcaption { font-family: Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; border-bottom: 1px solid #ccc; margin-top: 2.2em; }
nav { font-size: 0.85em; columns: 2; } nav ul { margin: 0; padding-left: 1.2em; }
figure { margin: 1.2em 0; } figure img { max-width: 100%; height: auto; }
figcaption { font-size: 0.8em; color: #555; }
.scroll { overflow-x: auto; margin: 1.2em 0; }
table { border-collapse: collapse; font-size: 0.8em; border-top: 2px solid #222; border-bottom: 2px solid #222; }
caption { text-align: left; color: #555; padding-bottom: 0.4em; }
th, td { padding: 0.2em 0.7em; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }
td { white-space: pre-line; }
thead { border-bottom: 1px solid #222; } tbody tr:nth-child(even) { background: #f6f6f6; }
@media print { body { max-width: none; } details { display: none; } }
</style>
</head>
<body>
<h1>$title</h1>
<nav><ul>
$contents
</ul></nav>
$sections
</body>
</html>
""")


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with its caption.

    Attributes:
        name: of its files, without an ending.
        raster: whether the page holds it as PNG instead of SVG, for a figure that is made of
            images.
    """

    name: str
    caption: str
    figure: Figure
    raster: bool = False

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The content of its files by their endings, png and svg."""
        return {ending: figure_bytes(self.figure, ending) for ending in ("png", "svg")}

    def html(self) -> str:
        """The figure as the page holds it, with the image inside."""
        kind, mime = ("png", "image/png") if self.raster else ("svg", "image/svg+xml")
        data = base64.b64encode(self.files[kind]).decode()
        caption = escape(self.caption)
        image = f'<img src="data:{mime};base64,{data}" alt="{caption}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        text: a paragraph under the title.
        hidden: tables that open on a click.
    """

    title: str
    text: str = ""
    pictures: Sequence[CaptionedFigure] = field(default_factory=list)
    tables: Sequence[Table] = field(default_factory=list)
    hidden: Sequence[Table] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the section has nothing to show."""
        return not (self.pictures or self.tables or self.hidden)

    def html(self, number: int) -> str:
        """The section as the page holds it.

        Args:
            number: its place on the page, to which the table of contents links.
        """
        parts = [f'<h2 id="s{number}">{escape(self.title)}</h2>']
        parts += [f"<p>{escape(self.text)}</p>"] if self.text else []
        parts += [each.html() for each in (*self.pictures, *self.tables)]
        parts += [f"<details><summary>{escape(each.title)}</summary>{each.html()}</details>" for each in self.hidden]
        return "\n".join(parts)

    @property
    def files(self) -> dict[str, bytes]:
        """The content of the files of its figures and tables by their names."""
        parts = (*self.pictures, *self.tables, *self.hidden)
        return {f"{part.name}.{ending}": content for part in parts for ending, content in part.files.items()}


def html_page(title: str, sections: Sequence[Section]) -> str:
    """The content of the HTML file, with a table of contents before the sections."""
    contents = [f'<li><a href="#s{number}">{escape(each.title)}</a></li>' for number, each in enumerate(sections)]
    bodies = [each.html(number) for number, each in enumerate(sections)]
    return PAGE.substitute(title=escape(title), contents="\n".join(contents), sections="\n".join(bodies))
