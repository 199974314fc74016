"""How far a run or the cells of a sweep are, as a person reads it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lit_gan.records.pace import pace_of
from lit_gan.records.score_names import scores_in_words
from lit_gan.sweep.cells import Cell, counts_in_words, is_run
from lit_gan.sweep.overview import newest_record
from lit_gan.system.console import plain_console
from lit_gan.tasks.run_lines import how_far, run_lines

SIGNS = {"finished": "#", "running": ">", "stopped": "=", "failed": "x", "damaged": "?", "waiting": "."}


def print_whole(shown: Group) -> None:
    """Prints what is shown, and leaves long lines for the terminal to break."""
    plain_console(highlight=False, soft_wrap=True).print(shown)


def view(directory: Path, cells: Sequence[Cell], everything: bool) -> Group:
    """All that is shown of a run or of a sweep."""
    return Group(*map(Text, run_lines(cells[0]))) if is_run(directory) else cells_view(cells, everything)


def cells_view(cells: Sequence[Cell], everything: bool) -> Group:
    """The table of signs, what is to be said of single cells, and the counts."""
    key = "  ".join(f"{sign} {state}" for state, sign in SIGNS.items())
    told = [cell_line(cell) for cell in cells if everything or cell.state not in ("finished", "waiting")]
    return Group(sign_table(cells), *map(Text, [key, *told, *totals(cells, everything)]))


def totals(cells: Sequence[Cell], everything: bool) -> Iterator[str]:
    """How many cells are in each state, and how many finished ones have warnings that are not
    shown."""
    yield counts_in_words(cells)
    warned = sum(cell.state == "finished" and bool(cell.results.get("warnings")) for cell in cells)
    if warned and not everything:
        yield f"{warned} of the finished ones with warnings, which --all shows"


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
    """One line about a cell: its name, its state, and what `words_about` says."""
    return f"{cell.name}: {words_about(cell)}"


def words_about(cell: Cell) -> str:
    """The state of a cell, how far and how fast it is, and its scores or the reason of its end."""
    results = cell.results
    words = [cell.state, *how_far(cell.state, pace_of(cell.directory, results))]
    words += filter(None, [results.get("error") or latest_scores(results), *results.get("warnings", [])])
    return ", ".join(words)


def latest_scores(results: dict[str, Any]) -> str:
    """The final scores of a run, or else those of its last evaluation; empty if it has neither."""
    record = newest_record(results)
    return scores_in_words(record["scores"], record.get("caveats", {})) if record else ""
