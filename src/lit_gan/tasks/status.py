"""`python -m lit_gan.status`: how far a run or the cells of a sweep are, on the terminal."""

import sys
from pathlib import Path

from lit_gan.sweep.overview import json_line, read_run_or_cells
from lit_gan.tasks.cells_view import print_whole, view


def status(directory: Path, everything: bool = False, follows: bool = False, as_json: bool = False) -> None:
    """Prints how far a run is; of a sweep a sign for each cell, a line for each unfinished one, and
    how many are how far.

    Args:
        everything: finished cells get a line too, with their scores.
        follows: goes on until nothing trains any more, and ends the process with an exit code that
            says how that came (`lit_gan.tasks.following.exit_code`).
        as_json: prints one object on one line instead; with `follows`, one for each change.

    Raises:
        UserError: there is no run and no sweep in the directory, or the plan is damaged.
        SystemExit: with `follows`, at the end.
    """
    if follows:
        from lit_gan.tasks.following import follow  # the other commands do without it

        sys.exit(follow(directory, everything, as_json))
    cells = read_run_or_cells(directory)
    if as_json:
        print(json_line(directory, cells))
    else:
        print_whole(view(directory, cells, everything))
