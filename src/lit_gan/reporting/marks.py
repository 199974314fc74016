"""What ties the parts of a page to methods and settings: classes, by which a reader switches them off,
and the anchors of cells."""

import re
from collections.abc import Iterable

from matplotlib.artist import Artist
from matplotlib.container import Container

from lit_gan.reporting.collect import Sweep, SweepRun

PAGE = "report.html"
"""The file to which links in figures lead; on the page itself they stay on it."""
GID = "mark:"
"""What the id of an SVG group begins with that is to become a class."""


def marks_of(sweep: Sweep, x: str | None = None, hue: str | None = None) -> str:
    """The classes of a part of the page that shows a value of x or of hue, or of both: "h0 x2"."""
    hues = [f"h{sweep.hues.index(hue)}"] if hue is not None else []
    return " ".join([*hues, *([f"x{sweep.xs.index(x)}"] if x is not None else [])])


def cells_anchor(sweep: Sweep, others: tuple[str, ...], x: str, hue: str) -> str:
    """The id of the part of the page about the cells that a bar is the mean of.

    Args:
        others: their coordinates on other axes than x, hue and seed.
    """
    words = [sweep.name, *others, sweep.view.hue and hue, sweep.view.x and x]
    return "cells-" + "-".join(re.sub(r"[^\w.+=]+", "_", word) for word in words if word)


def anchor_of(sweep: Sweep, run: SweepRun) -> str:
    """The id of the part of the page in which a cell stands."""
    return cells_anchor(sweep, sweep.other_axes(run), *sweep.x_and_hue(run))


def mark(artists: Iterable[Artist] | Artist, marks: str, link: str | None = None) -> None:
    """Gives what was drawn the classes `marks` and a link to an anchor, in SVG files."""
    for artist in flat(artists):
        artist.set_gid(GID + marks)
        if link:
            artist.set_url(f"{PAGE}#{link}")


def flat(artists: Iterable[Artist] | Artist | None) -> Iterable[Artist]:
    """The single artists in what a plotting function of matplotlib returns."""
    if isinstance(artists, Artist):
        yield artists
        return
    for each in artists.get_children() if isinstance(artists, Container) else artists or ():
        yield from flat(each)


def with_classes(svg: str) -> str:
    """An SVG file in which what was marked has its classes, in place of an id that others share, and
    whose links open where they stand."""
    svg = svg.replace(' target="_blank"', "")
    return re.sub(f'id="{GID}([^"]*)"', r'class="\1"', svg)


def inlined(svg: str, name: str) -> str:
    """An SVG file as a part of an HTML page, on which its ids are not those of other figures.

    Args:
        name: of the figure, with which its ids begin.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'(\bid="|url\(#|(?<!<a )xlink:href="#)', rf"\g<1>{name}-", body)
    return body.replace(f'xlink:href="{PAGE}#', 'xlink:href="#')
