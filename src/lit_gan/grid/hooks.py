"""What happens before the first cell of a sweep, and when all is over."""

import atexit
from collections import Counter
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.grid.cells import STATES, read_cells
from lit_gan.grid.plan import add_to_plan, axes_of_sweep, planned


class PlanCells(Callback):
    """Writes the plan of a sweep before its first cell, and says at the very end how many cells are how far."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """What was planned in the directory before stays planned."""
        hydra = config.hydra
        directory = Path(hydra.sweep.dir)
        axes = axes_of_sweep(hydra.sweeper.get("params") or {}, config.axes)
        add_to_plan(directory, hydra.runtime.choices.get("sweep"), axes, planned(hydra, axes))
        atexit.register(print_counts, directory, directory.absolute())


def print_counts(directory: Path, place: Path) -> None:
    """How many cells of the sweep in a place, which the user calls `directory`, are how far, and what to do next."""
    try:
        counts = Counter(cell.state for cell in read_cells(place))
    except UserError:  # a search that ended before its first cell
        return
    print(f"{directory}: {', '.join(f'{counts[state]} {state}' for state in STATES if counts[state])}")
    if counts["finished"]:
        print(f"next     python -m lit_gan.report {directory}    python -m lit_gan.status {directory}")
