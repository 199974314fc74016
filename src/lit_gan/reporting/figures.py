"""The figures of a report."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, groupby
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from lit_gan.figures.style import (
    GREY,
    MOST_SHOWN,
    WIDTH,
    Style,
    add_legend,
    add_title,
    label_score,
    lowest,
    new_figure,
    panel_grid,
    score_name,
    styles,
)
from lit_gan.reporting.collect import Score, Sweep, SweepRun
from lit_gan.reporting.comparison import Comparison, caveat_of
from lit_gan.reporting.marks import anchor_of, cells_anchor, mark, marks_of
from lit_gan.reporting.statistics import Summary, summarize

BEST = "best"
"""The name of the group of bars that shows every method at its best setting."""
COLUMNS = 3
"""At most so many panels with curves stand beside each other."""
THUMBNAIL = 1.05
"""The side of a picture among others, in inches."""
MARGIN = 1.0
"""The space for names beside the pictures, in inches."""
PIXELS = 240
"""Pictures have at most so many pixels on their longer side, which print sharply at the size of a
thumbnail."""

Draw = Callable[[Axes, Comparison, dict[str, Style]], None]


def compared(comparisons: Sequence[Comparison], draw: Draw, draw_paper: Draw) -> Figure:
    """A figure of the scores of one panel, with the paper's numbers beside ours where they cannot
    stand among them."""
    drawn = styles(comparisons[0].sweep.hues)
    beside = any(each.paper_bests and not each.paper_agrees for each in comparisons)
    figure, places = laid_out(comparisons, beside)
    for (axes, *others), comparison in zip(places, comparisons, strict=True):
        draw(axes, comparison, drawn)
        for other in others:
            if comparison.paper_bests and not comparison.paper_agrees:
                draw_paper(other, comparison, drawn)
                other.set_title(textwrap.fill(comparison.paper[0].title, 26), loc="left", fontsize=7)
            else:
                other.remove()
    sweep = comparisons[0].sweep
    add_title(figure, comparisons[0].title)
    add_marked_legend(figure, sweep, handles(sweep, comparisons, line=draw is draw_lines))
    return figure


def laid_out(comparisons: Sequence[Comparison], beside: bool) -> tuple[Figure, list[list[Axes]]]:
    """A figure, and for each comparison the axes of our numbers and, with `beside`, those of the
    paper's.

    The comparisons stand one below the other, or in tiles if there is no x.
    """
    tiles = 1 if len(comparisons[0].sweep.xs) > 1 else min(len(comparisons), 2 if beside else 3)
    rows, columns = math.ceil(len(comparisons) / tiles), 1 + beside
    figure = new_figure(2.1 * rows + 0.6)
    widths = ([3.2, 1] if tiles == 1 else [1, 1])[:columns] * tiles
    grid = figure.subplots(rows, tiles * columns, squeeze=False, width_ratios=widths).flatten().tolist()
    places = [grid[start : start + columns] for start in range(0, len(grid), columns)]
    for axes in chain.from_iterable(places[len(comparisons) :]):
        axes.remove()
    return figure, places[: len(comparisons)]


def handles(sweep: Sweep, comparisons: Sequence[Comparison] = (), line: bool = False) -> list:
    """The entries of a legend: the hues, and the marks of the paper and of failed cells where they
    are drawn."""
    drawn = styles(sweep.hues)
    kind = line_handle if line else patch_handle
    entries = [kind(drawn[hue], sweep.hue_name(hue)) for hue in sweep.hues] if sweep.view.hue else []
    if any(each.paper_agrees and each.paper_bests for each in comparisons):
        entries.append(marker_handle("D", "the paper"))
    if any(each.failed_counts for each in comparisons):
        entries.append(marker_handle("x", "failed"))
    return entries or [kind(drawn[sweep.hues[0]], sweep.name)]


def add_marked_legend(figure: Figure, sweep: Sweep, entries: Sequence[Artist], columns: int = 4) -> None:
    """Puts a legend below a figure, whose first entries are the hues and go with them."""
    add_legend(figure, entries, columns)
    for legend in figure.legends if sweep.view.hue else ():
        parts = zip(legend.legend_handles, legend.get_texts(), strict=True)
        for hue, (handle, text) in zip(sweep.hues, parts, strict=False):
            mark([handle, text], marks_of(sweep, hue=hue))


def patch_handle(style: Style, label: str) -> Patch:
    """The entry of a bar in a legend."""
    return Patch(facecolor=style.colour, hatch=style.hatch, edgecolor="white", linewidth=0, label=label)


def line_handle(style: Style, label: str) -> Line2D:
    """The entry of a line in a legend."""
    return Line2D([], [], color=style.colour, linestyle=style.line, marker=style.marker, markersize=4, label=label)


def marker_handle(marker: str, label: str) -> Line2D:
    """The entry of a single mark in a legend."""
    return Line2D(
        [], [], color="black", marker=marker, linestyle="", markerfacecolor="white", markersize=5, label=label
    )


def draw_bars(axes: Axes, comparison: Comparison, drawn: dict[str, Style]) -> None:
    """Draws a group of bars for each x and one for the best x, with a bar for each hue. Miyato et
    al. 2018, Figure 1.

    Bars are means over seeds, error bars standard deviations, dots single seeds, diamonds the
    paper's numbers, and crosses failed cells.
    """
    sweep = comparison.sweep
    groups = [*sweep.xs, BEST] if len(sweep.xs) > 1 and comparison.settings else sweep.xs
    width = 0.84 / len(sweep.hues)
    for column, hue in enumerate(sweep.hues):
        for group, x in enumerate(groups):
            place = group + 0.3 * (x == BEST) + (column - (len(sweep.hues) - 1) / 2) * width
            draw_bar(axes, comparison, (x, hue), place, width, drawn[hue])
    label_score(axes, comparison.score, comparison.end, drawn_values(comparison), caveat=comparison.caveat)
    ticks = [group + 0.3 * (x == BEST) for group, x in enumerate(groups)]
    axes.set_xticks(ticks, [textwrap.fill(sweep.x_name(x), 14) if x != BEST else BEST for x in groups])
    axes.tick_params(axis="x", length=0)
    margin = 0.55 if len(groups) > 1 else max(0.55, 1.5 / len(sweep.hues))
    axes.set_xlim(-margin, ticks[-1] + margin)
    axes.set_xlabel(sweep.axis_name(sweep.view.x))


def drawn_values(comparison: Comparison) -> list[float]:
    """The numbers by which the axis is scaled: those of all seeds, and the paper's if they stand
    among ours."""
    ours = [value for seeds in comparison.values.values() for value in seeds]
    theirs = [number.value for number in comparison.paper_bests.values()]
    return [*ours, *theirs] if comparison.paper_agrees else ours


def draw_bar(axes: Axes, comparison: Comparison, at: tuple[str, str], place: float, width: float, style: Style) -> None:
    """Draws one bar with its seeds, the paper's number and the mark of failed cells; it leads to the
    cells that it is the mean of.

    Args:
        at: the x, or `BEST`, and the hue.
        place, width: of the bar, along the x axis.
    """
    (x, hue), sweep = at, comparison.sweep
    where = (comparison.settings.get(hue), hue) if x == BEST else at
    values = comparison.values.get(where, [])
    drawn = []
    if values:
        drawn += draw_mean(axes, place, width, summarize(values), style)
    if len(values) > 1:
        drawn += axes.plot([place] * len(values), values, ".", color="black", markersize=2, alpha=0.7, zorder=4)
    if comparison.failed_counts[where]:
        drawn += draw_cross(axes, place, style, alone=not values)
    drawn += draw_paper_number(axes, comparison, at, place)
    marks = marks_of(sweep, None if x == BEST else x, hue)
    mark(drawn, marks, cells_anchor(sweep, comparison.others, *where) if where[0] is not None else None)


def draw_paper_number(axes: Axes, comparison: Comparison, at: tuple[str, str], place: float) -> Sequence[Artist]:
    """Draws the paper's number at a bar's place, where it was measured as ours was."""
    x, hue = at
    whatever_x = x == BEST or len(comparison.sweep.xs) == 1
    number = comparison.paper_bests.get(hue) if whatever_x else comparison.paper_at(x, hue)
    if not number or not comparison.paper_agrees:
        return []
    look = {"color": "black", "markerfacecolor": "white", "markersize": 4}
    return [axes.errorbar(place, number.value, number.std, fmt="D", **look)]


def draw_mean(axes: Axes, place: float, width: float, found: Summary, style: Style) -> Sequence[Artist]:
    """Draws a mean as a bar, with its standard deviation as an error bar."""
    look = {"color": style.colour, "hatch": style.hatch, "edgecolor": "white", "linewidth": 0.3}
    drawn = [axes.bar(place, found.mean, 0.92 * width, **look)]
    if found.std is not None:
        look = {"color": "black", "elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8}
        drawn.append(axes.errorbar(place, found.mean, found.std, **look))
    return drawn


def draw_cross(axes: Axes, place: float, style: Style, alone: bool) -> Sequence[Artist]:
    """Draws the mark of a failed cell at the bottom of the axes, and the word too where no score
    stands (`alone`)."""
    bottom = axes.get_xaxis_transform()
    drawn = axes.plot(place, 0.035, "x", color="white", markersize=7, markeredgewidth=3, transform=bottom, zorder=5)
    look = {"markersize": 5, "markeredgewidth": 1.6, "transform": bottom, "zorder": 6}
    drawn += axes.plot(place, 0.035, "x", color=style.colour, **look)
    if alone:
        look = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 6.5, "transform": bottom}
        drawn.append(axes.text(place, 0.09, "failed", **look))
    return drawn


def draw_paper_bars(axes: Axes, comparison: Comparison, drawn: dict[str, Style]) -> None:
    """Draws the paper's best numbers in a panel of their own."""
    numbers = comparison.paper_bests
    for place, (hue, number) in enumerate(numbers.items()):
        bar = draw_mean(axes, place, 0.84, Summary(number.value, number.std, 1), drawn[hue])
        mark(bar, marks_of(comparison.sweep, hue=hue))
    label_score(axes, comparison.score, comparison.end, [number.value for number in numbers.values()])
    axes.set_xticks([])
    axes.set_xlabel(textwrap.fill(next(iter(numbers.values())).source, 30), fontsize=7)


def draw_lines(axes: Axes, comparison: Comparison, drawn: dict[str, Style]) -> None:
    """Draws a line over x for each hue: means with error bars, single seeds as dots, the paper's
    numbers dashed."""
    for hue in comparison.sweep.hues:
        draw_line(axes, comparison, hue, drawn[hue])
        draw_seeds(axes, comparison, hue, drawn[hue])
        if comparison.paper_agrees:
            draw_paper_line(axes, comparison, hue, drawn[hue])
    values = drawn_values(comparison)
    label_score(axes, comparison.score, comparison.end, values, zero=False, caveat=comparison.caveat)
    label_x(axes, comparison.sweep)


def draw_line(axes: Axes, comparison: Comparison, hue: str, style: Style) -> None:
    """Draws the means of a hue over x, with standard deviations as error bars."""
    found = comparison.over_x(hue)
    points = [(x_position(comparison.sweep, x), each.mean, each.std or 0) for x, each in found.items()]
    if points:
        xs, means, stds = zip(*points, strict=True)
        line = axes.errorbar(xs, means, stds, capsize=2, linewidth=1.4, color=style.colour, linestyle=style.line)
        mark(line, marks_of(comparison.sweep, hue=hue))


def draw_seeds(axes: Axes, comparison: Comparison, hue: str, style: Style) -> None:
    """Draws the single seeds of a hue over x, the marker of their mean, and a cross where cells
    failed; all of them lead to the cells."""
    sweep = comparison.sweep
    for x in sweep.xs:
        place, seeds = x_position(sweep, x), comparison.values.get((x, hue), [])
        drawn = axes.plot([place] * len(seeds), seeds, ".", color=style.colour, markersize=2.5, alpha=0.6)
        if seeds:
            drawn += axes.plot(place, summarize(seeds).mean, style.marker, color=style.colour, markersize=4)
        if comparison.failed_counts[x, hue]:
            drawn += draw_cross(axes, place, style, alone=not seeds)
        mark(drawn, marks_of(sweep, x, hue), cells_anchor(sweep, comparison.others, x, hue))


def label_x(axes: Axes, sweep: Sweep) -> None:
    """Puts the values of x under lines, on a logarithmic axis if the largest is at least 8 times
    the smallest."""
    places = [x_position(sweep, x) for x in sweep.xs]
    if min(places) > 0 and max(places) / min(places) >= 8:
        axes.set_xscale("log")
    axes.set_xticks(places, [sweep.x_name(x) for x in sweep.xs])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(sweep.axis_name(sweep.view.x))


def x_position(sweep: Sweep, x: str) -> float:
    """The place of a value on the x axis: its number if all values are numbers, else its index
    among them."""
    try:
        return dict(zip(sweep.xs, map(float, sweep.xs), strict=True))[x]
    except ValueError:
        return float(sweep.xs.index(x))


def draw_paper_line(axes: Axes, comparison: Comparison, hue: str, style: Style) -> None:
    """Draws the paper's numbers of a hue over x."""
    sweep = comparison.sweep
    points = [(x_position(sweep, x), each.value) for x in sweep.xs if (each := comparison.paper_at(x, hue))]
    if points:
        look = {"color": style.colour, "markerfacecolor": "white", "markersize": 4.5, "linewidth": 0.9}
        mark(axes.plot(*zip(*points, strict=True), "D--", **look), marks_of(sweep, hue=hue))


def draw_paper_lines(axes: Axes, comparison: Comparison, drawn: dict[str, Style]) -> None:
    """Draws the paper's numbers over x in a panel of their own, or as bars if they name no x."""
    if not any(number.at(comparison.sweep.view.x) for number in comparison.paper):
        draw_paper_bars(axes, comparison, drawn)
        return
    for hue in comparison.sweep.hues:
        draw_paper_line(axes, comparison, hue, drawn[hue])
    label_score(axes, comparison.score, comparison.end, [number.value for number in comparison.paper], zero=False)
    label_x(axes, comparison.sweep)
    axes.set_xlabel(f"{axes.get_xlabel()} ({comparison.paper[0].source})")


def curves(sweep: Sweep, title: str, score: str, scores: Sequence[Score]) -> Figure:
    """A figure of a score against generator updates, with a panel for each x: means over seeds
    thick, seeds thin."""
    xs = sweep.xs[:MOST_SHOWN]
    figure, grid = panel_grid(len(xs), COLUMNS, height=2.1, extra=0.7, sharex=True, sharey=True)
    for axes, x in zip(grid, xs, strict=True):
        draw_curves(axes, sweep, [each for each in scores if each.run.at(sweep.view.x) == x])
        mark(axes, marks_of(sweep, x=x))
        if sweep.view.x:
            axes.set_title(f"{sweep.axis_name(sweep.view.x)} {sweep.x_name(x)}")
    for axes in lowest(grid, COLUMNS):
        axes.set_xlabel("generator updates")
    label_score(grid[0], score, None, [each.value for each in scores if each.value is not None], zero=False)
    grid[0].grid(False, which="minor")
    grid[0].set_ylabel("")
    figure.supylabel(score_name(score, caveat_of(scores)), fontsize=8)
    add_title(figure, title)
    add_marked_legend(figure, sweep, handles(sweep, line=True))
    return figure


def draw_curves(axes: Axes, sweep: Sweep, scores: Sequence[Score]) -> None:
    """Draws the curves of one panel: each seed thin, and the mean over the seeds at each update
    thick."""
    drawn = styles(sweep.hues)
    for hue in sweep.hues:
        mine = [each for each in scores if each.run.at(sweep.view.hue) == hue and each.value is not None]
        for _, course in groupby(mine, key=lambda each: each.run.cell.name):
            points = list(course)
            line = axes.plot(*points_of(points), color=drawn[hue].colour, linewidth=0.5, alpha=0.45)
            mark(line, marks_of(sweep, hue=hue), anchor_of(sweep, points[0].run))
        if mine:
            mark(draw_mean_curve(axes, mine, drawn[hue]), marks_of(sweep, hue=hue), anchor_of(sweep, mine[0].run))


def points_of(scores: Sequence[Score]) -> tuple[list[int], list[float]]:
    """The updates of scores, and their values."""
    return [each.update for each in scores], [each.value for each in scores]


def draw_mean_curve(axes: Axes, scores: Sequence[Score], style: Style) -> Sequence[Artist]:
    """Draws a thick curve through the means of scores at each update, with about six markers."""
    at_update = defaultdict(list)
    for each in scores:
        at_update[each.update].append(each.value)
    means = [(update, summarize(values).mean) for update, values in sorted(at_update.items())]
    look = {"marker": style.marker, "markersize": 3, "markevery": max(1, len(means) // 6), "linestyle": style.line}
    return axes.plot(*zip(*means, strict=True), color=style.colour, linewidth=1.5, **look)


def best_against_last(sweep: Sweep, title: str, score: str, pairs: Sequence[tuple[SweepRun, float, float]]) -> Figure:
    """A figure with a point for each run: its score at its best evaluation and at its last one.

    Args:
        pairs: a run, its best score and its last one.
    """
    figure, drawn = new_figure(3.4, 0.62 * WIDTH), styles(sweep.hues)
    axes = figure.subplots()
    edge = {"markersize": 4, "markeredgecolor": "black", "markeredgewidth": 0.3}
    for run, best, last in pairs:
        style = drawn[run.at(sweep.view.hue)]
        x, hue = sweep.x_and_hue(run)
        point = axes.plot(best, last, style.marker, color=style.colour, **edge)
        mark(point, marks_of(sweep, x, hue), anchor_of(sweep, run))
    label_best_and_last(axes, score, [value for _, best, last in pairs for value in (best, last)])
    add_title(figure, title, 60)
    entries = [line_handle(drawn[hue], sweep.hue_name(hue)) for hue in sweep.hues]
    for each in entries:
        each.set_linestyle("")
    add_marked_legend(figure, sweep, entries, columns=3)
    return figure


def label_best_and_last(axes: Axes, score: str, values: Sequence[float]) -> None:
    """Gives both axes the same scale, and draws the diagonal, on which the last score is the best
    one."""
    label_score(axes, score, None, values, zero=False)
    axes.set_ylabel(f"{score_name(score)}, last")
    axes.set_xlabel(f"{score_name(score)}, best")
    ends = (min(values), max(values))
    if axes.get_yscale() == "log":
        ends = axes.get_ylim()
        axes.set(xscale="log", xlim=ends)
        axes.xaxis.set_major_formatter(axes.yaxis.get_major_formatter())
        axes.xaxis.set_minor_formatter(axes.yaxis.get_minor_formatter())
        axes.tick_params(axis="x", which="minor", labelsize=6.5)
    else:
        axes.locator_params(nbins=5)
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--", zorder=0)


def samples(sweep: Sweep, pictures: dict[tuple[str, str], Path]) -> Figure:
    """A figure of what G draws at the end: a row for each hue, a column for each x. Miyato et al.
    2018, Figure 6.

    Of so many pictures as a search has, it shows the first few.

    Args:
        pictures: (x, hue) -> the file of the samples.
    """
    rows = [hue for hue in sweep.hues if any((x, hue) in pictures for x in sweep.xs)]
    if len(sweep.xs) == 1:
        return tile_sheet([(sweep.hue_name(hue), pictures[sweep.xs[0], hue]) for hue in rows[:MOST_SHOWN]])
    if len(rows) > MOST_SHOWN or len(sweep.xs) > MOST_SHOWN:
        titled = [(f"{sweep.hue_name(hue)}, {sweep.x_name(x)}", path) for (x, hue), path in pictures.items()]
        return tile_sheet(titled[:MOST_SHOWN])
    return sample_sheet(sweep, rows, pictures)


def sample_sheet(sweep: Sweep, rows: Sequence[str], pictures: dict[tuple[str, str], Path]) -> Figure:
    """A figure of pictures with a row for each of the hues in `rows` and a column for each x."""
    size = min(THUMBNAIL, (WIDTH - MARGIN) / len(sweep.xs))
    figure = new_figure(size * len(rows) + 0.3, size * len(sweep.xs) + MARGIN)
    grid = figure.subplots(len(rows), len(sweep.xs), squeeze=False)
    for line, hue in zip(grid, rows, strict=True):
        for axes, x in zip(line, sweep.xs, strict=True):
            draw_picture(axes, pictures.get((x, hue)))
        line[0].set_ylabel(textwrap.fill(sweep.hue_name(hue), 12), rotation=0, ha="right", va="center")
    for axes, x in zip(grid[0], sweep.xs, strict=True):
        axes.set_title(textwrap.fill(sweep.x_name(x), 14))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    return figure


def tile_sheet(pictures: Sequence[tuple[str, Path]]) -> Figure:
    """A figure of pictures under their titles, four in a row."""
    side = WIDTH / 4
    figure, grid = panel_grid(len(pictures), 4, height=1.15 * side, extra=0, width=side * min(4, len(pictures)))
    for axes, (title, path) in zip(grid, pictures, strict=True):
        draw_picture(axes, path)
        axes.set_title(textwrap.fill(title, 24))
    return figure


def draw_picture(axes: Axes, path: Path | None) -> None:
    """Draws the picture in a file, made small; the word "none" if there is no file."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)
    if path is None:
        axes.text(0.5, 0.5, "none", ha="center", va="center", color=GREY, transform=axes.transAxes)
        return
    image = Image.open(path).convert("RGB")
    image.thumbnail((PIXELS, PIXELS))
    axes.imshow(image, interpolation="antialiased")


Spectrum = dict[str, list[float]]
"""Layer -> its scaled squared singular values."""


def spectra(sweep: Sweep, found: dict[str, Spectrum]) -> Figure:
    """A figure of the squared singular values of D's layers, the first scaled to 1. Miyato et al.
    2018, Figure 3.

    Args:
        found: hue -> its spectrum.
    """
    layers = list(dict.fromkeys(layer for spectrum in found.values() for layer in spectrum))
    figure, grid = panel_grid(len(layers), 4, height=1.9, extra=0.6, sharey=True)
    drawn = styles(sweep.hues)
    for axes, layer in zip(grid, layers, strict=True):
        axes.set_title(layer)
        for hue, spectrum in found.items():
            values = spectrum.get(layer, [])
            line = axes.plot(range(1, len(values) + 1), values, color=drawn[hue].colour, linestyle=drawn[hue].line)
            mark(line, marks_of(sweep, hue=hue))
    for axes in lowest(grid, 4):
        axes.set_xlabel("index")
    figure.supylabel("squared, first = 1", fontsize=8)
    add_marked_legend(figure, sweep, handles(sweep, line=True))
    return figure
