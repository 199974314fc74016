"""How far the cells of a sweep are, on the terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lit_gan.records.score_names import scores_in_words
from lit_gan.sweep.cells import STATES, Cell, read_cells
from lit_gan.system.console import plain_console

SIGNS = {"finished": "#", "running": ">", "stopped": "=", "failed": "x", "damaged": "?", "waiting": "."}


def status(directory: Path, everything: bool = False) -> None:
    """Prints a sign for each cell of a sweep, a line for each unfinished one, and how many are how
    far.

    Args:
        everything: finished cells get a line too, with their scores.

    Raises:
        UserError: there is no sweep in the directory, or its plan is damaged.
    """
    print_cells(read_cells(directory), everything)


def print_cells(cells: Sequence[Cell], everything: bool) -> None:
    """Prints the table of signs, what is to be said of single cells, and the counts."""
    console = plain_console(highlight=False, soft_wrap=True)
    console.print(sign_table(cells))
    console.print("  ".join(f"{sign} {state}" for state, sign in SIGNS.items()))
    for cell in cells:
        if everything or cell.state not in ("finished", "waiting"):
            console.print(cell_line(cell))
    print_totals(console, cells, everything)


def print_totals(console: Console, cells: Sequence[Cell], everything: bool) -> None:
    """Prints how many cells are in each state, and how many finished ones have warnings that are
    not shown."""
    counts = Counter(cell.state for cell in cells)
    console.print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))
    warned = sum(cell.state == "finished" and bool(cell.results.get("warnings")) for cell in cells)
    if warned and not everything:
        console.print(f"{warned} of the finished ones with warnings, which --all shows")


def sign_table(cells: Sequence[Cell]) -> Table:
    """A sign for each cell: a row for each value of the first axis, a column for each of the
    second."""
    axes = list(dict.fromkeys(axis for cell in cells for axis in cell.coordinates))
    row_axis, column_axis = [*axes, "", ""][:2]
    signs = {}
    for cell in cells:
        place = cell.coordinates.get(row_axis, cell.name), cell.coordinates.get(column_axis, "")
        signs[place] = signs.get(place, "") + SIGNS[cell.state]
    columns = list(dict.fromkeys(column for _, column in signs))
    table = Table(row_axis, *columns, title=column_axis)
    for row in dict.fromkeys(row for row, _ in signs):
        table.add_row(row, *(signs.get((row, column), "") for column in columns))
    return table


def cell_line(cell: Cell) -> str:
    """One line about a cell: its state, how far and how fast it is, and its scores or the reason of
    its end."""
    results = cell.results
    done, planned, rate = (results.get(name) for name in ("updates", "updates_planned", "updates_per_second"))
    words = [f"{cell.name}: {cell.state}"]
    if planned:
        words.append(f"update {done} of {planned}")
    if rate and planned and cell.state == "running":
        words += [f"{rate:.3g} updates/s", f"{time_left((planned - done) / rate)} left"]
    words += filter(None, [results.get("error") or latest_scores(results), *results.get("warnings", [])])
    return ", ".join(words)


def time_left(seconds: float) -> str:
    """Seconds as hours and minutes, or as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def latest_scores(results: dict[str, Any]) -> str:
    """The final scores of a run, or else those of its last evaluation; empty if it has neither."""
    course = results.get("course") or [None]
    record = results.get("final") or course[-1]
    return scores_in_words(record["scores"], record.get("caveats", {})) if record else ""
