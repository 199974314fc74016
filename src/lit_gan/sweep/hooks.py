"""What happens before the first cell of a sweep, and when all is over."""

import atexit
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import UserError
from lit_gan.sweep.cells import STATES, read_cells
from lit_gan.sweep.frozen import freeze
from lit_gan.sweep.plan import add_to_plan, axes_of_sweep, check_plan, planned
from lit_gan.sweep.same import check_same_cell, has_begun


class PlanCells(Callback):
    """Writes the plan of a sweep before its first cell, and says at the very end how many cells are how far."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """What was planned in the directory before stays planned; a sweep that is refused changes nothing in it."""
        directory = Path(config.hydra.sweep.dir)
        try:
            plan(config, directory)
        except UserError as error:
            if config.debug:
                raise
            sys.exit(f"lit_gan: {error}")  # Hydra only warns of an exception here
        except (HydraException, OmegaConfBaseException):
            return  # the sweeper composes the same cells next, and its exception is answered
        atexit.register(print_counts, directory, directory.absolute())


def plan(config: DictConfig, directory: Path) -> None:
    """Composes the cells of a grid, looks whether each may be run, and writes the plan and the configs of new ones.

    Raises:
        UserError: two cells have the same directory, or there is another sweep or another cell in its place.
    """
    hydra = config.hydra
    sweep, axes = hydra.runtime.choices.get("sweep"), axes_of_sweep(hydra.sweeper.get("params") or {}, config.axes)
    check_plan(directory, sweep)
    cells = {name: composed(config, overrides) for name, overrides in planned(hydra, axes).items()}
    for name, (cell, _) in cells.items():
        check_same_cell(directory / name, cell)
        check_values(cell)
    add_to_plan(directory, sweep, axes, cells)
    for name, (cell, hydra_of_cell) in cells.items():
        if not has_begun(directory / name):
            freeze(cell, hydra_of_cell, directory / name)


def check_values(cell: DictConfig) -> None:
    """Holds the settings of a cell against what they may be.

    Raises:
        UserError: names the first that is impossible.
    """
    from lit_gan.settings import TRAIN, check_settings

    check_settings(cell, TRAIN)


def composed(config: DictConfig, overrides: list[str]) -> tuple[DictConfig, DictConfig]:
    """The config of a cell, and Hydra's part of it."""
    cell = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    with open_dict(cell):
        hydra = cell.pop("hydra")
    return cell, hydra


def print_counts(directory: Path, place: Path) -> None:
    """How many cells of the sweep in a place, which the user calls `directory`, are how far, and what to do next."""
    try:
        counts = Counter(cell.state for cell in read_cells(place))
    except UserError:  # a search that ended before its first cell
        return
    print(f"{directory}: {', '.join(f'{counts[state]} {state}' for state in STATES if counts[state])}")
    if counts["finished"]:
        print(f"next     python -m lit_gan.report {directory}    python -m lit_gan.status {directory}")
