"""The figure of one run: its losses, D's outputs and its scores over the generator updates, from
`metrics.csv`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lit_gan.figures.style import (
    MOST_SHOWN,
    Style,
    add_title,
    label_2_3_5,
    label_score,
    lowest,
    panel_grid,
    save_figure,
    score_name,
    styled,
    styles,
)
from lit_gan.records.curve_names import FINAL, GRADIENT_NORM, PLAYERS, SPECTRAL_NORM
from lit_gan.records.layout import metrics_path
from lit_gan.records.table import read_table

COLUMNS = 3
"""How many panels stand beside each other."""
PAIRS = (("precision", "recall"), ("density", "coverage"))
"""Scores that share a panel: of the quality of samples and of their variety."""
LEFT_OUT = (FINAL, SPECTRAL_NORM)
"""How columns begin that belong to other figures, or were measured by another protocol than during
training."""
OUTPUTS = {"d/real": "real", "d/fake": "generated"}
MOST_LOSSES = 4
"""So many curves of losses fit into one panel."""
DIVERGES = 1e3
"""Losses that reach so many times their median, as diverging ones do, are drawn on a logarithmic
axis."""
FEW_POWERS = 200
"""A logarithmic axis over a smaller factor holds so few powers of ten that ticks between them are
labelled too."""

Points = tuple[list[int], list[float]]
"""Generator updates and the values at them."""


@dataclass
class Panel:
    """Curves that share their axes.

    Attributes:
        title: says what they show.
        score: the name of the score by which the y axis is labelled and scaled; None for losses and
            outputs.
        curves: label -> the points of a curve.
    """

    title: str
    score: str | None = None
    curves: dict[str, Points] = field(default_factory=dict)


def save_training_curves(directory: Path, title: str, ends: Mapping[str, str]) -> Path | None:
    """Writes `curves.png` into a run's directory, made from its `metrics.csv`.

    Args:
        title: of the figure.
        ends: short name of a score -> its good end, "min" or "max".

    Returns:
        The file, or None where the table holds nothing to draw.

    Raises:
        UserError: `metrics.csv` is damaged.
        Unwritable: the file cannot be written.
    """
    panels = read_panels(metrics_path(directory))
    if not panels:
        return None
    path = directory / "curves.png"
    with styled():
        save_figure(draw_panels(panels, title, ends), path, durable=False)
    return path


def read_panels(path: Path) -> list[Panel]:
    """The panels of the losses, of D's outputs and of each score, with those columns that have a
    finite value."""
    if not path.exists():
        return []
    columns, rows = read_table(path)
    curves = {name: finite_points(rows, name) for name in columns if name != "update" and not name.startswith(LEFT_OUT)}
    curves = {name: points for name, points in curves.items() if points[0]}
    n_losses = sum(name.startswith(PLAYERS) and name not in OUTPUTS for name in curves)
    panels = {title: Panel(title) for title in ("losses", "D's losses", "G's losses", "D's mean outputs")}
    for name, points in curves.items():
        panel, label = panel_and_label(name, apart=n_losses > MOST_LOSSES)
        panels.setdefault(panel.title, panel).curves[label] = points
    return [panel for panel in panels.values() if panel.curves][:MOST_SHOWN]


def panel_and_label(name: str, apart: bool) -> tuple[Panel, str]:
    """The panel to which a column of `metrics.csv` belongs, and the label of its curve there.

    Args:
        apart: whether the losses of D and of G have a panel each.
    """
    group, _, short = name.rpartition("/")
    if name in OUTPUTS:
        return Panel("D's mean outputs"), OUTPUTS[name]
    if name.startswith(GRADIENT_NORM):
        return Panel("gradient norms"), short.upper()
    if group in ("d", "g"):
        player, words = group.upper(), short.replace("_", " ")
        return (Panel(f"{player}'s losses"), words) if apart else (Panel("losses"), f"{player}: {words}")
    for first, second in PAIRS:
        if short in (first, second):
            return Panel(f"{group}: {first} and {second}", first), short
    return Panel(f"{group}: {score_name(short)}" if group else score_name(short), short), short


def finite_points(rows: list[dict[str, str]], name: str) -> Points:
    """The points at which a column has a finite value, in the order of the updates."""
    points = [(int(row["update"]), float(row[name])) for row in rows if row[name]]
    finite = [(update, value) for update, value in points if math.isfinite(value)]
    return [update for update, _ in finite], [value for _, value in finite]


def draw_panels(panels: list[Panel], title: str, ends: Mapping[str, str]) -> Figure:
    """A figure with three panels in a row, all with the same updates on the x axis."""
    figure, grid = panel_grid(len(panels), COLUMNS, height=1.9, extra=0.3)
    last = max(updates[-1] for panel in panels for updates, _ in panel.curves.values())
    for axes, panel in zip(grid, panels, strict=True):
        draw_panel(axes, panel, ends)
        axes.set_xlim(0, 1.03 * last)
        axes.set_title(panel.title, loc="left")
    for axes in lowest(grid, COLUMNS):
        axes.set_xlabel("generator updates")
    add_title(figure, title)
    return figure


def draw_panel(axes: Axes, panel: Panel, ends: Mapping[str, str]) -> None:
    """Draws the curves of one panel, with a marker at each evaluation of a score and a legend for
    several curves."""
    drawn = styles(list(panel.curves))
    for label, (updates, values) in panel.curves.items():
        look = {"color": drawn[label].colour, "linestyle": drawn[label].line, "label": label}
        axes.plot(updates, values, linewidth=1.2, **look, **markers(drawn[label], panel, len(updates)))
    axes.margins(y=0.12)
    values = [value for _, curve in panel.curves.values() for value in curve]
    if panel.score is None:
        scale_losses(axes, values)
    else:
        label_score(axes, panel.score, ends.get(panel.score), values, zero=False)
        axes.set_ylabel({"min": "lower is better", "max": "higher is better"}.get(ends.get(panel.score), ""))
        if axes.get_yscale() == "log" and max(values) < FEW_POWERS * min(values):
            axes.yaxis.set_minor_formatter(FuncFormatter(label_2_3_5))
    if len(panel.curves) > 1 or panel.score is None:
        axes.legend(loc="best", handlelength=1.4, borderaxespad=0.2, frameon=True, framealpha=0.8, edgecolor="none")


def markers(style: Style, panel: Panel, count: int) -> dict[str, object]:
    """Matplotlib's settings for the markers of a curve: at most about thirty, and none on losses
    and outputs.

    A curve of one point has its marker in any case, for it would be invisible without.
    """
    if panel.score is None and count > 1:
        return {}
    return {"marker": style.marker, "markersize": 3, "markevery": max(1, count // 30)}


def scale_losses(axes: Axes, values: list[float]) -> None:
    """Makes the y axis logarithmic on either side of zero where the values leap by orders of
    magnitude."""
    usual = median(map(abs, values))
    if max(map(abs, values)) > DIVERGES * max(usual, 1.0):
        axes.set_yscale("symlog", linthresh=10 ** math.floor(math.log10(max(usual, 1.0))))
