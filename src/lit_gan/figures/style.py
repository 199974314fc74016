"""What all figures of a report share."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
"""Okabe and Ito 2008: all people can tell these apart."""
MARKERS = "osD^vP*X"
LINES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx")
GREY = "#767676"
MOST = 32
"""Entries of a legend, panels of a figure."""
WIDTH = 7.2
"""Of a page, in inches."""
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

NAMES = {"fid": "FID", "kid": "KID", "is": "Inception score", "kl": "KL divergence", "intra_fid": "intra FID"}
NAMES |= {"wasserstein": "sliced Wasserstein", "ms_ssim": "MS-SSIM", "intra_ms_ssim": "intra MS-SSIM"}
NAMES |= {"held": "modes held", "high_quality": "share of high quality", "seconds": "seconds for 100 updates"}
LOGARITHMIC = {"fid", "intra_fid"}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made and saved inside look alike."""
    with matplotlib.rc_context(SETTINGS):
        yield


@dataclass(frozen=True)
class Style:
    """How a hue is drawn everywhere in a report."""

    colour: str
    marker: str
    line: str
    hatch: str


def styles(hues: Sequence[str]) -> dict[str, Style]:
    """A colour for each of eight hues; the next eight have the same colours with other lines and hatches."""
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
    """A score as an axis calls it, with a star if there is a caveat."""
    return NAMES.get(score, score.replace("_", " ")) + "*" * bool(caveat)


def label_score(
    axes: Axes, score: str, end: str | None, values: Sequence[float], zero: bool = True, caveat: str | None = None
) -> None:
    """Puts the score's name and its good end (↑, ↓) on the y axis, logarithmic for FID, else from zero."""
    axes.set_ylabel(score_name(score, caveat) + {"min": " ↓", "max": " ↑"}.get(end, ""))
    if zero and values and min(values) >= 0:
        axes.set_ylim(bottom=0)
    if score in LOGARITHMIC and values and min(values) > 0:
        axes.set_yscale("log")
        axes.set_ylim(min(values) * 0.75, max(values) * 1.25)
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        narrow = max(values) / min(values) < 20
        axes.yaxis.set_major_formatter(plain)
        low, high = axes.get_ylim()
        labelled = any(low <= number * 10**power <= high for number in (1, 2, 3, 5) for power in range(-9, 10))
        axes.yaxis.set_minor_formatter(FuncFormatter(few if labelled else plain) if narrow else NullFormatter())
        axes.tick_params(axis="y", which="minor", labelsize=6.5)
        axes.grid(True, which="minor", axis="y", linewidth=0.3)


def few(value: float, _: int) -> str:
    """The ticks 2, 3 and 5 of each power of ten."""
    return f"{value:g}" if f"{value:e}"[0] in "235" else ""


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def entitle(figure: Figure, title: str, letters: int = 105) -> None:
    """A title above the whole figure, in as many lines as it needs."""
    figure.suptitle(textwrap.fill(title, letters), fontsize=8, x=0.01, ha="left")


def legend_below(figure: Figure, handles: Sequence, columns: int = 4) -> None:
    """One legend for the whole figure; none for a search, whose every cell is a hue of its own."""
    if len(handles) <= MOST:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=1.6)
