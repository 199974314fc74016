"""The line for shell scripts that ends a training started with `--json`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lit_gan.cli.flags import JSON
from lit_gan.errors import UserError
from lit_gan.records.layout import results_path
from lit_gan.records.trace import NewFolders, fingerprint
from lit_gan.sweep.cells import is_run
from lit_gan.sweep.overview import json_line, read_run_or_cells


@contextmanager
def ending_in_json() -> Iterator[None]:
    """With the flag among this process' arguments, leaves the standard output to one line: the
    object that `status --json` prints of the run or the sweep that the block has trained, however
    that ended.

    Everything else that the block and its processes print goes to the standard error. A command
    that is refused has no such line.
    """
    if JSON not in sys.argv:
        yield
        return
    sys.argv[:] = [word for word in sys.argv if word != JSON]
    NewFolders.output = None
    output, failed = take_output(), True
    try:
        yield
        failed = False
    finally:
        line = line_about(NewFolders.output, failed)
        with suppress(BrokenPipeError), os.fdopen(output, "w", encoding="utf-8") as file:
            file.write(f"{line}\n" if line else "")


def take_output() -> int:
    """Leads the standard output of this process, and of those that it starts, to the standard
    error, for good: a sweep prints its counts when the interpreter ends.

    Returns:
        A descriptor of where it led before.
    """
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    return before


def line_about(directory: Path | None, failed: bool) -> str | None:
    """The object about what was trained in a directory; None if nothing was.

    Args:
        failed: whether the command has; what it has left untouched is then of an earlier one.
    """
    if directory is None or (
        failed and is_run(directory) and NewFolders.record == fingerprint(results_path(directory))
    ):
        return None
    with suppress(UserError):
        return json_line(directory, read_run_or_cells(directory))
    return None
