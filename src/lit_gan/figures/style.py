"""What all figures share: their colours, how a score's axis looks, and how a figure is made and
saved."""

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from lit_gan.records.files import replacing

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY_BLUE = "#56B4E9"
YELLOW = "#F0E442"
BLACK = "#000000"
GREY = "#767676"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY_BLUE, YELLOW, BLACK)
"""The palette of Okabe and Ito 2008, whose colours colour-blind readers can tell apart, the
plainest first."""
MARKERS = "osD^vP*X"
LINES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx")
MOST_SHOWN = 32
"""A legend has at most so many entries and a figure at most so many panels, for more do not fit on
a page."""
WIDTH = 7.2
"""The width of a page in inches."""
SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "lit_gan",
}
"""Matplotlib's settings inside `styled`; the fixed salt gives the same figure the same SVG file
each time."""

SCORE_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "is": "Inception score",
    "kl": "KL divergence",
    "intra_fid": "intra FID",
    "wasserstein": "sliced Wasserstein",
    "ms_ssim": "MS-SSIM",
    "intra_ms_ssim": "intra MS-SSIM",
    "held": "modes held",
    "high_quality": "share of high quality",
    "seconds": "seconds for 100 updates",
}
LOGARITHMIC = {"fid", "intra_fid"}
"""Scores that fall by orders of magnitude while a GAN trains."""


@contextmanager
def styled() -> Iterator[None]:
    """Gives the figures that are made and saved inside the block the look of a report."""
    with matplotlib.rc_context(SETTINGS):
        yield


@dataclass(frozen=True)
class Style:
    """How one hue is drawn in every figure of a report."""

    colour: str
    marker: str
    line: str
    hatch: str


def styles(hues: Sequence[str]) -> dict[str, Style]:
    """A colour for each of eight hues; the next eight have the same colours with other lines and
    hatches."""
    return {
        hue: Style(
            COLOURS[index % len(COLOURS)],
            MARKERS[index % len(MARKERS)],
            LINES[index // len(COLOURS) % len(LINES)],
            HATCHES[index // len(COLOURS) % len(HATCHES)],
        )
        for index, hue in enumerate(hues)
    }


def score_name(score: str, caveat: str | None = None) -> str:
    """The name by which an axis calls a score, with a star if there is a caveat."""
    return starred(SCORE_NAMES.get(score, score.replace("_", " ")), caveat)


def starred(name: str, caveat: str | None) -> str:
    """A name, with a star if there is a caveat."""
    return f"{name}*" if caveat else name


def label_score(
    axes: Axes, score: str, end: str | None, values: Sequence[float], zero: bool = True, caveat: str | None = None
) -> None:
    """Puts a score's name and its good end (↑, ↓) on the y axis, and makes that logarithmic for
    FID.

    Args:
        end: the good end of the score, "min" or "max"; None if nobody knows it.
        values: what is drawn, by which the axis is scaled.
        zero: whether an axis that is not logarithmic begins at zero.
        caveat: why the values cannot bear comparison, for which the name gets a star.
    """
    axes.set_ylabel(score_name(score, caveat) + {"min": " ↓", "max": " ↑"}.get(end, ""))
    if zero and values and min(values) >= 0:
        axes.set_ylim(bottom=0)
    if score in LOGARITHMIC and values and min(values) > 0:
        scale_logarithmically(axes, min(values), max(values))


def scale_logarithmically(axes: Axes, smallest: float, largest: float) -> None:
    """Makes the y axis logarithmic, with plain numbers at its ticks.

    Over less than a factor of 20 there is at most one power of ten, so the ticks between them are
    labelled too: those at 2, 3 and 5, or all of them where the axis is so short that it holds none
    of these.
    """
    axes.set_yscale("log")
    axes.set_ylim(0.75 * smallest, 1.25 * largest)
    plain, between = FuncFormatter(lambda value, _: f"{value:g}"), NullFormatter()
    if largest / smallest < 20:
        low, high = axes.get_ylim()
        labelled = any(low <= digit * 10**power <= high for digit in (1, 2, 3, 5) for power in range(-9, 10))
        between = FuncFormatter(label_2_3_5) if labelled else plain
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(between)
    axes.tick_params(axis="y", which="minor", labelsize=6.5)
    axes.grid(True, which="minor", axis="y", linewidth=0.3)


def label_2_3_5(value: float, _: int) -> str:
    """The label of a tick at 2, 3 or 5 times a power of ten; the empty string for other ticks."""
    return f"{value:g}" if f"{value:e}"[0] in "235" else ""


def new_figure(height: float, width: float = WIDTH, dpi: float | None = None) -> Figure:
    """An empty figure whose parts make room for each other; height and width are in inches."""
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def panel_grid(
    count: int,
    columns: int,
    height: float,
    extra: float,
    width: float = WIDTH,
    dpi: float | None = None,
    **shared: bool,
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, `columns` in a row, and the axes of the panels row by row.

    Args:
        height: of a row of panels, in inches.
        extra: height of what stands above and below all rows, in inches.
        width: of the figure, in inches.
        shared: matplotlib's `sharex` and `sharey`.
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = new_figure(height * rows + extra, width, dpi)
    grid = figure.subplots(rows, columns, squeeze=False, **shared).flatten().tolist()
    for axes in grid[count:]:
        axes.remove()
    for axes in lowest(grid[:count], columns):  # a shared x axis has labels in the last row alone, full or not
        axes.tick_params(axis="x", labelbottom=True)
    return figure, grid[:count]


def lowest(grid: list[Axes], columns: int) -> list[Axes]:
    """The panels of a grid that have nothing below them."""
    return grid[-min(columns, len(grid)) :]


def add_title(figure: Figure, title: str, letters: int = 105) -> None:
    """Puts a title above the whole figure, in lines of at most so many letters."""
    figure.suptitle(textwrap.fill(title, letters), fontsize=8, x=0.01, ha="left")


def add_legend(figure: Figure, handles: Sequence[Artist], columns: int = 4) -> None:
    """Puts one legend below the whole figure; none below a search, whose every cell is a hue of its
    own."""
    if len(handles) <= MOST_SHOWN:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=1.6)


def save_figure(figure: Figure, path: Path, durable: bool = True) -> None:
    """Writes a figure as a PNG file, whole or not at all.

    Args:
        durable: whether the file must survive a crash of the machine.

    Raises:
        Unwritable: the file cannot be written.
    """
    with replacing(path, durable=durable) as temporary:
        figure.savefig(temporary, format="png")


def figure_bytes(figure: Figure, ending: str) -> bytes:
    """The content of a figure's file, "png" or "svg"; SVG without the date, so that equal figures
    are equal files."""
    content = io.BytesIO()
    figure.savefig(content, format=ending, metadata={"Date": None} if ending == "svg" else None)
    return content.getvalue()
