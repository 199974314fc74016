"""What the figures of the analyses share: their size, panels, and images in them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_gan.figures.pictures import picture
from lit_gan.figures.style import BLUE, GREY, VERMILION, new_figure, panel_grid
from lit_gan.game import Images

SHADES = "viridis"
"""Matplotlib's name of the colours from dark to bright, for what has an order."""
DPI = 120
"""Dots to the inch of every figure."""


def titled_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure under its title; width and height are in inches."""
    figure = new_figure(height, width, DPI)
    figure.suptitle(title, fontsize="large")
    return figure


def panels(titles: Sequence[str], title: str, xlabel: str, ylabel: str, **shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure with one panel for each of `titles`, in rows of at most four, and the axes of the
    panels.

    Args:
        title: of the figure.
        shared: matplotlib's `sharex` and `sharey`.
    """
    columns = min(4, math.ceil(math.sqrt(len(titles))))
    width = max(5, 3 * columns)
    figure, grid = panel_grid(len(titles), columns, height=2.4, extra=0.6, width=width, dpi=DPI, **shared)
    for axes, name in zip(grid, titles, strict=True):
        axes.set_title(name, fontsize="small")
    figure.suptitle(title, fontsize="large")
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    return figure, grid


def show_histograms(
    axes: Axes, values: Mapping[str, np.ndarray], limits: tuple[float, float], density: bool = False
) -> None:
    """Draws a histogram of the values of each kind, at most three, and names the kinds.

    Args:
        density: of the values, in place of their counts.
    """
    looks = ((VERMILION, "-"), (BLUE, "--"), (GREY, ":"))
    for (kind, numbers), (colour, style) in zip(values.items(), looks, strict=False):
        look = {"histtype": "step", "color": colour, "linestyle": style, "linewidth": 1.8}
        axes.hist(numbers, 40, range=limits, density=density, label=kind, **look)
    axes.legend()


def show_images(axes: Axes, images: Images, columns: int, title: str = "") -> None:
    """Draws images in [-1, 1] as a grid, `columns` in a row, without ticks."""
    axes.imshow(picture(images, columns).numpy(), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")


def contact_sheet(images: Images, columns: int, title: str) -> Figure:
    """A figure that holds nothing but images, `columns` in a row, each at least 48 dots wide."""
    size = max(48, images.shape[-1]) / DPI
    rows = math.ceil(len(images) / columns)
    height = rows * images.shape[-2] / images.shape[-1] * size + 0.4
    figure = titled_figure(max(7, columns * size), height, title)
    show_images(figure.subplots(), images, columns)
    return figure
