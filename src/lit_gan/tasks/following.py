"""A training that somebody watches, from its beginning to its end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.live import Live

from lit_gan.sweep.cells import Cell, NothingThere, counts_in_words, is_run
from lit_gan.sweep.overview import json_line, read_run_or_cells
from lit_gan.system.console import plain_console
from lit_gan.system.signals import STOPPED
from lit_gan.system.watching import EVERY, announce
from lit_gan.tasks.cells_view import cell_line, print_whole, view, words_about

PAUSE = 2.0
"""Seconds between two looks at the files."""

QUIET = 60.0
"""Seconds after which one that waits for a training that nobody has begun gives up: between two
cells of a sweep it takes a few seconds."""

Show = Callable[[Sequence[Cell]], None]


def follow(directory: Path, everything: bool, as_json: bool) -> int:
    """Shows a run or a sweep until it has ended, and returns its exit code.

    On a terminal the view is drawn anew. Elsewhere lines are added: one for each state and epoch
    that is new, and one a minute for what trains. Ctrl-C ends the watching, not the training.

    Raises:
        NothingThere: there is neither a run nor a sweep, and none begins.
        UserError: the plan of the sweep is damaged.
    """
    try:
        await_beginning(directory)
        with showing(directory, everything, as_json) as show:
            for cells in looks(directory):
                show(cells)
    except KeyboardInterrupt:
        return STOPPED
    return exit_code(cells)


def looks(directory: Path) -> Iterator[list[Cell]]:
    """The cells as they are every `PAUSE` seconds, until nothing is to be expected any more."""
    heard = time.monotonic()
    while True:
        cells = read_run_or_cells(directory)
        yield cells
        states = {cell.state for cell in cells}
        if "running" in states:
            heard = time.monotonic()
        elif not states & to_come(directory) or time.monotonic() - heard > QUIET:
            return
        time.sleep(PAUSE)


def await_beginning(directory: Path) -> None:
    """Waits for a training that has just been started, whose libraries take seconds to load.

    Raises:
        NothingThere: it does not begin.
    """
    announced, until = False, time.monotonic() + QUIET
    while True:
        try:
            read_run_or_cells(directory)
            return
        except NothingThere:
            if time.monotonic() > until:
                raise
        if not announced:
            announce(f"nothing trains in {directory} yet: waiting {QUIET:.0f} seconds for it")
        announced = True
        time.sleep(PAUSE)


def to_come(directory: Path) -> set[str]:
    """The states that a training may still change: a sweep begins and resumes cells one after the
    other."""
    return {"waiting"} if is_run(directory) else {"waiting", "stopped"}


def exit_code(cells: Sequence[Cell]) -> int:
    """0 if all is finished, 1 if something has failed or is damaged, and 130, with which `train`
    itself ends then, if something was stopped or has not begun."""
    states = {cell.state for cell in cells}
    return 1 if states & {"failed", "damaged"} else 0 if states == {"finished"} else STOPPED


@contextmanager
def showing(directory: Path, everything: bool, as_json: bool) -> Iterator[Show]:
    """What is done with each look: redrawn on a terminal, told line by line elsewhere."""
    console = plain_console(highlight=False)
    if as_json:
        yield Changes(lambda cells, _: print(json_line(directory, cells), flush=True))
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda cells: live.update(view(directory, cells, everything), refresh=True)
    else:
        changes = Changes(say_run if is_run(directory) else say_cells)
        yield changes
        print_whole(view(directory, changes.cells, everything))


class Changes:
    """Tells of looks that differ from the one before, and of what trains once in `EVERY` seconds.

    Args:
        say: is given all cells, and those that are worth a line.
    """

    def __init__(self, say: Callable[[Sequence[Cell], Sequence[Cell]], None]):
        self.say, self.told, self.said = say, {}, time.monotonic()
        self.cells: Sequence[Cell] = []

    def __call__(self, cells: Sequence[Cell]) -> None:
        """Takes a look."""
        self.cells, now = cells, time.monotonic()
        news = [cell for cell in cells if self.told.get(cell.name) != heading(cell)]
        if now - self.said >= EVERY:
            news = news or [cell for cell in cells if cell.state == "running"]
        if news:
            self.said = now
            self.told |= {cell.name: heading(cell) for cell in news}
            self.say(cells, news)


def heading(cell: Cell) -> tuple[str, int]:
    """What makes a new line: the state of a cell, and the epoch that it is in."""
    return cell.state, cell.results.get("updates", 0)


def say_run(cells: Sequence[Cell], news: Sequence[Cell]) -> None:
    """A line about a run."""
    for cell in news:
        say(words_about(cell))


def say_cells(cells: Sequence[Cell], news: Sequence[Cell]) -> None:
    """A line about each cell that does not merely wait, and how many are how far."""
    for cell in news:
        if cell.state != "waiting":
            say(cell_line(cell))
    say(counts_in_words(cells))


def say(line: str) -> None:
    """A line with the time."""
    print(f"{datetime.now():%H:%M:%S}  {line}", flush=True)
