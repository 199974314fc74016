"""The W&B dashboard of a sweep whose cells were logged there."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import OmegaConf

from lit_gan.errors import UserError, one_line
from lit_gan.records.curve_names import FINAL
from lit_gan.records.wandb_names import as_tag, group_of
from lit_gan.reporting.collect import begun_config
from lit_gan.sweep.cells import Cell, read_cells

STEP = "trainer/global_step"
"""What W&B calls the number of generator updates."""


def dashboard(directory: Path, project: str, entity: str) -> None:
    """Makes the dashboard of a sweep on the W&B server and prints its address.

    Raises:
        UserError: there is no sweep, no score, no server or no package that makes dashboards.
    """
    print(publish(build_dashboard(read_cells(directory), project, entity)))


def build_dashboard(cells: list[Cell], project: str, entity: str) -> Any:
    """A W&B report, which is not on the server yet: final scores by method, what was varied beside
    them, curves by setting, samples.

    Raises:
        UserError: no cell was logged to W&B or has a score, or the package that makes reports is
            missing.
    """
    wr = import_reports()
    groups, figure = logged_as(cells)
    name_of_runs = ", ".join(groups)
    method = "label" if any("method" in cell.coordinates for cell in cells) else None

    def section(title: str, tag: str | None, panels: list[Any]) -> list[Any]:
        tagged = f" and Metric('Tags') == {quoted(tag)}" if tag else ""
        chosen = f"Metric('Group') in [{', '.join(map(quoted, groups))}]{tagged}"
        runs = wr.Runset(entity, project, name_of_runs, filters=chosen, groupby=[f"config.{method}"] if method else [])
        return [wr.H1(title), wr.PanelGrid(runsets=[runs], panels=panels)]

    names = score_names(cells)
    bars = [wr.BarPlot(title=name, metrics=[f"{FINAL}{name}"], groupby=method) for name in names]
    blocks = section("Scores by method", None, bars)
    if axes := axes_as_logged(cells):
        columns = [*map(wr.Config, axes), *(wr.SummaryMetric(f"{FINAL}{name}") for name in names)]
        lines = wr.ParallelCoordinatesPlot([wr.ParallelCoordinatesPlotColumn(metric=column) for column in columns])
        blocks += section("Settings and scores", None, [lines])
    for tag in tags_on_axis(cells, figure.get("x")):
        curves = [wr.LinePlot(title=name, x=STEP, y=[name], groupby=method) for name in names]
        blocks += section(f"Curves, {tag}" if tag else "Curves", tag, curves)
    blocks += section("Samples", None, [wr.MediaBrowser(media_keys=["samples"])])
    return wr.Report(project, entity, title=figure.get("title") or name_of_runs, blocks=blocks)


def quoted(text: str) -> str:
    """A text in a filter of W&B's package, which doubles every bare equals sign, also one between
    quotes."""
    return re.sub("[=<>]", lambda sign: rf"\x{ord(sign[0]):x}", repr(text))


def axes_as_logged(cells: list[Cell]) -> list[str]:
    """What the cells differ in, by its names in W&B's config: choices stand together there."""
    axes = dict.fromkeys(axis for cell in cells for axis in cell.coordinates)
    groups = {group for cell in cells for group in cell.results.get("choices", {})}
    return [f"choices.{axis}" if axis in groups else axis for axis in axes]


def import_reports() -> ModuleType:
    """W&B's module for reports, which an extra of this package installs.

    Raises:
        UserError: it is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as reports
    except ImportError as error:
        raise UserError("The dashboard needs wandb-workspaces: pip install 'lit_gan[dashboard]'.") from error
    return reports


def publish(report: Any) -> str:
    """Sends a dashboard to the W&B server and returns its address.

    Raises:
        UserError: there is no server to be reached.
    """
    try:
        return report.save().url
    except Exception as error:  # the library raises plain Exceptions
        reason = one_line(str(error)) or type(error).__name__
        raise UserError(
            f"W&B takes no dashboard ({reason}): run `wandb login`, or see the sweep without a server with "
            f"`python -m lit_gan.report DIR`."
        ) from error


def score_names(cells: list[Cell]) -> list[str]:
    """The names of all scores that the cells have, sorted.

    Raises:
        UserError: no cell has a score.
    """
    records = [record for cell in cells for record in cell.results.get("course", [])]
    if not records:
        raise UserError("No cell has a score yet: come back after the first evaluation.")
    return sorted({name for record in records for name in record["scores"]})


def logged_as(cells: list[Cell]) -> tuple[list[str], dict[str, Any]]:
    """The W&B groups of a sweep's runs, several where it has no name and its cells differ in data or
    model, and what its report shows.

    Raises:
        UserError: no cell was logged to W&B.
    """
    configs = {cell.name: begun_config(cell.directory) for cell in cells}
    logged = [cell for cell in cells if "wandb" in configs[cell.name].get("logger", {})]
    if not logged:
        raise UserError("No cell of this sweep was logged to W&B: run it with logger=wandb, or use lit_gan.report.")
    figure = OmegaConf.to_container(configs[logged[0].name])["figure"] or {}
    return list(dict.fromkeys(group_of(cell.results.get("choices", {})) for cell in logged)), figure


def tags_on_axis(cells: list[Cell], axis: str | None) -> list[str | None]:
    """The W&B tags of the values on an axis, "optim=sngan_a"; [None] if there is no such axis."""
    values = dict.fromkeys(cell.coordinates[axis] for cell in cells if axis in cell.coordinates)
    return [as_tag(f"{axis}={value}") for value in values] or [None]
