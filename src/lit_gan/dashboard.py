"""`python -m lit_gan.dashboard DIR`: the W&B dashboard of a sweep whose cells were logged there."""

import argparse
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, one_line
from lit_gan.records.files import read_yaml
from lit_gan.sweep.cells import Cell, read_cells
from lit_gan.system.streams import take_streams

STEP = "trainer/global_step"


def main() -> None:
    """The console script: makes the dashboard on the server and prints its address."""
    take_streams()
    parser = argparse.ArgumentParser(prog="lit_gan.dashboard", description=__doc__)
    parser.add_argument("directory", type=Path, help="the directory of a sweep that ran with logger=wandb")
    parser.add_argument("--project", default="lit_gan", help="the W&B project of its runs (default: %(default)s)")
    parser.add_argument("--entity", default="", help="the W&B user or team (default: your own)")
    arguments = parser.parse_args()
    try:
        print(save(dashboard(read_cells(arguments.directory), arguments.project, arguments.entity)))
    except UserError as error:
        sys.exit(f"lit_gan: {error}")


def save(report: Any) -> str:
    """The address of a dashboard after sending it to the server.

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


def dashboard(cells: list[Cell], project: str, entity: str) -> Any:
    """A W&B report: final scores by method, curves by setting, samples.

    Raises:
        UserError: no cell was logged there or has a score, or the package that makes reports is missing.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
    except ImportError as error:
        raise UserError("The dashboard needs wandb-workspaces: pip install 'lit_gan[dashboard]'.") from error
    group, figure = logged_as(cells)
    method = "label" if any("method" in cell.coordinates for cell in cells) else None

    def panels(title: str, tag: str | None, *shown: Any) -> list[Any]:
        tagged = f" and Metric('Tags') = '{tag}'" if tag else ""
        chosen = f"Metric('Group') = '{group}'{tagged}"
        runs = wr.Runset(entity, project, group, filters=chosen, groupby=[method] if method else [])
        return [wr.H1(title), wr.PanelGrid(runsets=[runs], panels=list(shown))]

    scores = scores_of(cells)
    bars = [wr.BarPlot(title=name, metrics=[f"final/{name}"], groupby=method) for name in scores]
    blocks = panels("Scores by method", None, *bars)
    for tag in settings_of(cells, figure.get("x")):
        curves = [wr.LinePlot(title=name, x=STEP, y=[name], groupby=method) for name in scores]
        blocks += panels(f"Curves, {tag}" if tag else "Curves", tag, *curves)
    blocks += panels("Samples", None, wr.MediaBrowser(media_keys=["samples"]))
    return wr.Report(project, entity, title=figure.get("title") or group, blocks=blocks)


def scores_of(cells: list[Cell]) -> list[str]:
    """The names of all scores that a cell has.

    Raises:
        UserError: none has any.
    """
    records = [record for cell in cells for record in cell.results.get("course", [])]
    if not records:
        raise UserError("No cell has a score yet: come back after the first evaluation.")
    return sorted({name for record in records for name in record["scores"]})


def logged_as(cells: list[Cell]) -> tuple[str, dict[str, Any]]:
    """The W&B group of a sweep's runs, and what its report shows.

    Raises:
        UserError: they were not logged to W&B.
    """
    for cell in cells:
        path = cell.directory / ".hydra" / "config.yaml"
        config = read_yaml(path, DictConfig) if path.exists() else {}
        if "wandb" in config.get("logger", {}):
            choices = cell.results.get("choices", {})
            group = choices.get("sweep") or f"{choices.get('data')}_{choices.get('model')}"
            return group, OmegaConf.to_container(config)["figure"] or {}
    raise UserError("No cell of this sweep was logged to W&B: run it with logger=wandb, or use lit_gan.report.")


def settings_of(cells: list[Cell], axis: str | None) -> list[str | None]:
    """The W&B tags of the values on an axis, "optim=sngan_a"; [None] if there is no such axis."""
    values = dict.fromkeys(cell.coordinates[axis] for cell in cells if axis in cell.coordinates)
    return [f"{axis}={value}" for value in values] or [None]


if __name__ == "__main__":
    main()
