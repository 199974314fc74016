"""`python -m lit_gan.status DIR`: how far the cells of a sweep are."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.table import Table

from lit_gan.errors import UserError
from lit_gan.records.score_names import scores_in_words
from lit_gan.sweep.cells import STATES, Cell, read_cells
from lit_gan.system.console import plain_console
from lit_gan.system.streams import take_streams

SIGNS = {"finished": "#", "running": ">", "stopped": "=", "failed": "x", "damaged": "?", "waiting": "."}


def main() -> None:
    """The console script: one line for each cell that is not finished, and how many are how far."""
    take_streams()
    parser = argparse.ArgumentParser(prog="lit_gan.status", description=__doc__)
    parser.add_argument("directory", type=Path, help="the directory of a sweep, runs/NAME")
    parser.add_argument("--all", action="store_true", help="the finished cells too, each with its scores")
    arguments = parser.parse_args()
    try:
        show(read_cells(arguments.directory), arguments.all)
    except UserError as error:
        sys.exit(f"lit_gan: {error}")


def show(cells: list[Cell], everything: bool) -> None:
    """Prints the grid, what is to be said of single cells, and the counts."""
    console = plain_console(highlight=False, soft_wrap=True)
    console.print(grid(cells))
    console.print("  ".join(f"{sign} {state}" for state, sign in SIGNS.items()))
    for cell in cells:
        if everything or cell.state not in ("finished", "waiting"):
            console.print(line(cell))
    counts = Counter(cell.state for cell in cells)
    console.print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))
    warned = sum(cell.state == "finished" and bool(cell.results.get("warnings")) for cell in cells)
    if warned and not everything:
        console.print(f"{warned} of the finished ones with warnings, which --all shows")


def grid(cells: list[Cell]) -> Table:
    """A sign for each cell: a row for each value of the first axis, a column for each of the second."""
    axes = list(dict.fromkeys(axis for cell in cells for axis in cell.coordinates))
    row, column = [*axes, "", ""][:2]
    signs = {}
    for cell in cells:
        place = cell.coordinates.get(row, cell.name), cell.coordinates.get(column, "")
        signs[place] = signs.get(place, "") + SIGNS[cell.state]
    columns = list(dict.fromkeys(column for _, column in signs))
    table = Table(row, *columns, title=column)
    for name in dict.fromkeys(name for name, _ in signs):
        table.add_row(name, *(signs.get((name, column), "") for column in columns))
    return table


def line(cell: Cell) -> str:
    """What is to be said of a cell: where it is, how fast, and its scores or the reason of its end."""
    results = cell.results
    done, planned, rate = (results.get(name) for name in ("updates", "updates_planned", "updates_per_second"))
    words = [f"{cell.name}: {cell.state}"]
    if planned:
        words.append(f"update {done} of {planned}")
    if rate and planned and cell.state == "running":
        words += [f"{rate:.3g} updates/s", f"{duration((planned - done) / rate)} left"]
    words += filter(None, [results.get("error") or scores(results), *results.get("warnings", [])])
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Seconds as hours and minutes, or as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def scores(results: dict) -> str:
    """The final scores, or else the last of the course."""
    course = results.get("course") or [None]
    record = results.get("final") or course[-1]
    return scores_in_words(record["scores"], record.get("caveats", {})) if record else ""


if __name__ == "__main__":
    main()
