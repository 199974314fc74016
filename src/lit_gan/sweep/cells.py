"""The cells in a sweep's directory, as they are on disk."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.records.files import walk_readable
from lit_gan.records.layout import RESULTS, config_folder, results_path
from lit_gan.records.lock import in_use
from lit_gan.records.results import RunRecord, read_results
from lit_gan.sweep.plan import plan_path, read_plan

STATES = ("finished", "running", "stopped", "failed", "damaged", "waiting")
"""The states of a cell, in the order in which they are counted."""


class CellFailed(UserError):
    """A cell ended without its result; the other cells go on."""


class NothingThere(UserError):
    """A directory in which nothing has been trained."""

    def __init__(self, directory: Path):
        super().__init__(f"{directory} holds no sweep and no run: name the directory that a training has written.")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: its directory below the sweep's, "method=sn_gan/optim=sngan_a/seed=0".
        directory: its run directory, which does not exist before the cell begins.
        state: "finished", "failed", "running" (a living process trains it), "stopped" (half done,
            to be resumed), "waiting" (not begun) or "damaged" (its `results.json` cannot be read).
        results: the content of its `results.json`, empty before it has one; of a damaged one, only
            an "error".
    """

    name: str
    directory: Path
    state: str
    results: RunRecord

    @property
    def coordinates(self) -> dict[str, str]:
        """The value of each axis: {"method": "sn_gan", "optim": "sngan_a", "seed": "0"}."""
        return dict(part.split("=", 1) for part in Path(self.name).parts if "=" in part)


def read_cells(directory: Path) -> list[Cell]:
    """The cells of a sweep, in the order of `cell_names`.

    Raises:
        UserError: there is no sweep, or its plan is damaged.
    """
    return [read_cell_or_damage(directory / name, name) for name in cell_names(directory)]


def read_cells_as_planned(directory: Path) -> list[Cell]:
    """The cells of a sweep, where one that has finished, and that a later start of the sweep is to
    train further, has stopped.

    Raises:
        UserError: there is no sweep, or its plan is damaged.
    """
    updates = read_plan(directory).get("updates", {})
    return [as_planned(cell, updates.get(cell.name, 0)) for cell in read_cells(directory)]


def as_planned(cell: Cell, updates: int) -> Cell:
    """A cell as it stands on its way to so many updates."""
    if cell.state != "finished" or cell.results.get("updates", 0) >= updates:
        return cell
    return replace(cell, state="stopped", results=cell.results | {"updates_planned": updates})


def counts_in_words(cells: Iterable[Cell]) -> str:
    """How many cells are in each state: "3 finished, 1 running"."""
    counts = Counter(cell.state for cell in cells)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def is_run(directory: Path) -> bool:
    """Whether a directory is that of a single run, which has begun or is about to."""
    begun = results_path(directory).exists() or config_folder(directory).is_dir()
    return begun and not plan_path(directory).exists()


def cell_names(directory: Path) -> list[str]:
    """The names of the planned cells of a sweep in their order, then those of other runs in its
    directory.

    Raises:
        NothingThere: there are none.
        UserError: the plan is damaged, or a folder cannot be listed.
    """
    places = (Path(place) for place, _, names in walk_readable(directory) if RESULTS in names)
    found = sorted(str(place.relative_to(directory)) for place in places)
    if names := list(dict.fromkeys([*read_plan(directory).get("cells", []), *found])):
        return names
    raise NothingThere(directory)


def read_cell_or_damage(directory: Path, name: str) -> Cell:
    """One cell; the state of one whose `results.json` cannot be read is "damaged"."""
    try:
        return read_cell(directory, name)
    except UserError as error:
        return Cell(name, directory, "damaged", {"error": str(error)})


def read_cell(directory: Path, name: str) -> Cell:
    """A cell with its state and its results.

    Raises:
        UserError: its `results.json` is damaged.
    """
    path = results_path(directory)
    results = read_results(path) if path.exists() else {}
    return Cell(name, directory, state_of(directory, results), results)


def state_of(directory: Path, results: RunRecord) -> str:
    """The state of a cell; a run that says "running" and whose process is dead has stopped."""
    if in_use(directory):
        return "running"
    status = results.get("status", "waiting")
    return "stopped" if status == "running" else status
