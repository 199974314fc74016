"""What the figures share: colours that colour-blind readers can tell apart, panels, images."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_gan.figures.pictures import picture
from lit_gan.game import Images

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
"""Okabe and Ito 2008."""
SHADES = "viridis"
MARKERS = "osD^vP*X"
DPI = 120


def figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure, in inches."""
    new = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    if title:
        new.suptitle(title, fontsize="large")
    return new


def panels(titles: Sequence[str], title: str, xlabel: str, ylabel: str, **shared: bool) -> tuple[Figure, list[Axes]]:
    """One panel for each title, in rows of at most four; `sharex`, `sharey` as in matplotlib."""
    columns = min(4, math.ceil(math.sqrt(len(titles))))
    rows = math.ceil(len(titles) / columns)
    new = figure(max(5, 3 * columns), 0.6 + 2.4 * rows, title)
    grid = new.subplots(rows, columns, squeeze=False, **shared).flatten().tolist()
    for axes, name in zip(grid, titles, strict=False):
        axes.set_title(name, fontsize="small")
    for axes in grid[len(titles) :]:
        axes.remove()
    new.supxlabel(xlabel)
    new.supylabel(ylabel)
    return new, grid[: len(titles)]


def show_images(axes: Axes, images: Images, columns: int, title: str = "") -> None:
    """Images in [-1, 1] as a grid without ticks."""
    axes.imshow(picture(images, columns).numpy(), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")


def contact_sheet(images: Images, columns: int, title: str) -> Figure:
    """A figure of nothing but images, each at least 48 dots wide."""
    size = max(48, images.shape[-1]) / DPI
    rows = math.ceil(len(images) / columns)
    new = figure(max(7, columns * size), rows * images.shape[-2] / images.shape[-1] * size + 0.4, title)
    show_images(new.subplots(), images, columns)
    return new
