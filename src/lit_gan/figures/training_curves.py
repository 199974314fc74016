"""The figure of one run: its losses, D's outputs and its scores over the generator updates, from `metrics.csv`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lit_gan.figures.style import (
    MOST,
    Style,
    entitle,
    few,
    label_score,
    new_figure,
    score_name,
    styled,
    styles,
)
from lit_gan.records.files import replacing
from lit_gan.records.metrics_csv import read_table

COLUMNS = 3
"""Panels beside each other."""
TOGETHER = ("precision", "recall")
"""Scores from 0 to 1 that share a panel."""
LEFT_OUT = ("final/", "sigma/")
"""Beginnings of columns with other figures, or of another protocol than the scores during training."""
OUTPUTS = {"d/real": "real", "d/fake": "generated"}
FEW = 4
"""Curves of losses that fit into one panel."""
JUMP = 1e3
"""A curve that reaches so many times its median, as one that diverges does, is drawn on a logarithmic axis."""
WIDE = 200
"""A logarithmic axis over a smaller factor has labels between its powers of ten."""

Points = tuple[list[int], list[float]]
"""Generator updates and the values at them."""


@dataclass
class Panel:
    """Curves that share their axes.

    Attributes:
        title: what they show.
        score: the name of the score by which the y axis is labelled and scaled; None for losses and outputs.
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
    panels = read_panels(directory / "metrics.csv")
    if not panels:
        return None
    path = directory / "curves.png"
    with styled(), replacing(path, durable=False) as temporary:
        draw_panels(panels, title, ends).savefig(temporary, format="png")
    return path


def read_panels(path: Path) -> list[Panel]:
    """The losses, D's outputs, and each score, as far as there is a finite value."""
    if not path.exists():
        return []
    columns, rows = read_table(path)
    curves = {name: finite_points(rows, name) for name in columns if name != "update" and not name.startswith(LEFT_OUT)}
    curves = {name: points for name, points in curves.items() if points[0]}
    n_losses = sum(name.startswith(("d/", "g/")) and name not in OUTPUTS for name in curves)
    panels = {title: Panel(title) for title in ("losses", "D's losses", "G's losses", "D's mean outputs")}
    for name, points in curves.items():
        panel, label = place_of(name, apart=n_losses > FEW)
        panels.setdefault(panel.title, panel).curves[label] = points
    return [panel for panel in panels.values() if panel.curves][:MOST]


def place_of(name: str, apart: bool) -> tuple[Panel, str]:
    """The panel to which a column belongs, and the label of its curve there.

    Args:
        apart: the losses of D and of G have panels of their own.
    """
    group, _, short = name.rpartition("/")
    if name in OUTPUTS:
        return Panel("D's mean outputs"), OUTPUTS[name]
    if group in ("d", "g"):
        player, words = group.upper(), short.replace("_", " ")
        return (Panel(f"{player}'s losses"), words) if apart else (Panel("losses"), f"{player}: {words}")
    if short in TOGETHER:
        return Panel(f"{group}: precision and recall", "precision"), short
    return Panel(f"{group}: {score_name(short)}" if group else score_name(short), short), short


def finite_points(rows: list[dict[str, str]], name: str) -> Points:
    """Where a column has a finite value, in the order of the updates."""
    points = [(int(row["update"]), float(row[name])) for row in rows if row[name]]
    finite = [(update, value) for update, value in points if math.isfinite(value)]
    return [update for update, _ in finite], [value for _, value in finite]


def draw_panels(panels: list[Panel], title: str, ends: Mapping[str, str]) -> Figure:
    """A panel for each of `panels`, three in a row, all with the same updates on the x axis."""
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(1.9 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    last = max(updates[-1] for panel in panels for updates, _ in panel.curves.values())
    for axes, panel in zip(grid, panels, strict=False):
        draw_panel(axes, panel, ends)
        axes.set_xlim(0, 1.03 * last)
        axes.set_title(panel.title, loc="left")
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes in grid[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel("generator updates")
    entitle(figure, title)
    return figure


def draw_panel(axes: Axes, panel: Panel, ends: Mapping[str, str]) -> None:
    """The curves of one panel; a score has a marker for each evaluation, several curves have a legend."""
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
        if axes.get_yscale() == "log" and max(values) < WIDE * min(values):
            axes.yaxis.set_minor_formatter(FuncFormatter(few))
    if len(panel.curves) > 1 or panel.score is None:
        axes.legend(loc="best", handlelength=1.4, borderaxespad=0.2, frameon=True, framealpha=0.8, edgecolor="none")


def markers(style: Style, panel: Panel, count: int) -> dict[str, object]:
    """Markers on scores, about thirty at most, and on curves too short to be a line."""
    if panel.score is None and count > 1:
        return {}
    return {"marker": style.marker, "markersize": 3, "markevery": max(1, count // 30)}


def scale_losses(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis, on either side of zero, where the values leap by orders of magnitude."""
    usual = median(map(abs, values))
    if max(map(abs, values)) > JUMP * max(usual, 1.0):
        axes.set_yscale("symlog", linthresh=10 ** math.floor(math.log10(max(usual, 1.0))))
