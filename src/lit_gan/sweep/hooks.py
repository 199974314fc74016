"""The plan that is made before the first cell of a sweep, and the counts that are printed after the
last one."""

import atexit
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from lit_gan.catalogue.composed import Job, check_sweep
from lit_gan.errors import UserError
from lit_gan.records.layout import config_path
from lit_gan.sweep.cell_config import read_cell_config, write_cell_config
from lit_gan.sweep.cells import counts_in_words, read_cells_as_planned
from lit_gan.sweep.plan import add_to_plan, axes_of_sweep, check_axes, check_plan, made_again, planned_cells, read_plan
from lit_gan.sweep.same_cell import check_same_cell, has_begun
from lit_gan.sweep.search import check_counts, check_direction, is_search
from lit_gan.system.shell import shell_command


class PlanCells(Callback):
    """Writes the plan of a sweep before its first cell, and prints at the end how many cells are in
    which state."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Adds the cells to the plan that the directory may have; a sweep that is refused changes
        nothing in it."""
        directory = Path(config.hydra.sweep.dir)
        try:
            plan_cells(config, directory)
        except UserError as error:
            if config.debug is True:
                raise
            sys.exit(f"lit_gan: {error}")  # Hydra only warns of an exception here
        except (HydraException, OmegaConfBaseException):
            return  # the sweeper composes the same cells next, and its exception is answered
        atexit.register(print_counts, directory, directory.absolute())


def plan_cells(config: DictConfig, directory: Path) -> None:
    """Composes the cells of a grid, checks whether each may be run, and writes the plan and the
    configs of new ones.

    Raises:
        UserError: two cells have the same directory, or there is another sweep or another cell in
            its place, the directory is that of a run, or a search looks for the bad end of a score.
    """
    hydra = config.hydra
    check_no_run(directory)
    if is_search(hydra):
        check_direction(config, hydra)
        check_counts(hydra)
    sweep = hydra.runtime.choices.get("sweep")
    axes = axes_of_sweep(hydra.sweeper.get("params") or {}, config.axes)
    check_plan(directory, sweep)
    check_axes(directory, axes)
    cells = {name: compose_cell(config, overrides) for name, overrides in planned_cells(hydra, axes).items()}
    check_cells(config, directory, axes, cells)
    add_to_plan(directory, sweep, axes, {name: cell.updates for name, (cell, _) in cells.items()})
    for name, (cell, hydra_of_cell) in cells.items():
        if not has_begun(directory / name):
            write_cell_config(cell, hydra_of_cell, directory / name)


def check_no_run(directory: Path) -> None:
    """Refuses the directory of a single run as that of a sweep.

    Raises:
        UserError: names it.
    """
    if config_path(directory).is_file():
        raise UserError(f"hydra.sweep.dir={directory} is the directory of a single run: name another for the sweep.")


def check_cells(
    config: DictConfig, directory: Path, axes: list[str], cells: Mapping[str, tuple[DictConfig, DictConfig]]
) -> None:
    """Refuses cells that do not belong into a directory, and what nobody would look at in new ones.

    Args:
        cells: the config of each, and Hydra's part; empty for a search, whose cells are not known yet.

    Raises:
        UserError: names the first setting that cannot be.
    """
    check_constants(config, directory, axes, cells)
    if not read_plan(directory):  # a sweep that goes on is what it was
        typed = config.hydra.overrides.task if cells else []
        check_sweep([Job(*cell) for cell in cells.values()] or [Job(config, config.hydra)], typed)
    for name, (cell, _) in cells.items():
        check_same_cell(directory / name, cell)
        check_cell_settings(cell)


def check_constants(config: DictConfig, directory: Path, axes: list[str], cells: Container[str]) -> None:
    """Refuses a sweep that would add cells to those of a directory with other settings than its axes: a
    report compares all of them.

    The first cell that has begun speaks for all, as each start was checked against it.

    Args:
        cells: those of this start, each of which is checked by itself.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    begun = next((name for name in read_plan(directory).get("cells", []) if has_begun(directory / name)), None)
    if begun and begun not in cells and (old := read_cell_config(directory / begun)):
        words = made_again(config.hydra, axes, old.hydra.overrides.task)
        check_same_cell(directory / begun, compose_cell(config, words)[0])


def check_cell_settings(cell: DictConfig) -> None:
    """Refuses a cell with an impossible setting.

    Raises:
        UserError: names the first such setting.
    """
    from lit_gan.settings import TRAIN, check_config

    check_config(cell, TRAIN)


def compose_cell(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """The config of a cell without Hydra's part, and that part."""
    cell = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    with open_dict(cell):
        hydra = cell.pop("hydra")
    return cell, hydra


def print_counts(directory: Path, whole_path: Path) -> None:
    """Prints how many cells of a sweep are in which state, and the commands that come next.

    Args:
        directory: of the sweep, as the user calls it.
        whole_path: of the same directory, which holds whatever the present folder is at the end.
    """
    try:
        cells = read_cells_as_planned(whole_path)
    except UserError:  # a search that ended before its first cell
        return
    print(f"{directory}: {counts_in_words(cells)}")
    if any(cell.state == "finished" for cell in cells):
        print(f"next     {shell_command('report', str(directory))}    {shell_command('status', str(directory))}")
