"""From the directories of sweeps and runs to the files of a report."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.figures.style import styled
from lit_gan.records.files import replacing
from lit_gan.reporting.collect import Sweep, read_single_run, read_sweep
from lit_gan.reporting.marks import PAGE
from lit_gan.reporting.page import html_page
from lit_gan.reporting.run_sections import RunWriter
from lit_gan.reporting.sections import Writer
from lit_gan.sweep.cells import counts_in_words, is_run

LISTING = ".lit_gan_report"
"""The file in a report's folder that lists the files of the report."""


def write_report(directories: Sequence[Path], output: Path | None) -> Path:
    """Writes `report.html`, and beside it figures as PNG and SVG, tables as CSV, Markdown and
    LaTeX.

    Args:
        directories: of sweeps and of single runs.
        output: folder; None: `report` in the first directory.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: a directory holds no sweep, two hold the same one, or nothing has been measured
            yet.
    """
    writers = [writer_of(directory, several=len(directories) > 1) for directory in directories]
    check_different([writer.sweep for writer in writers])
    folder = output or directories[0] / "report"
    with styled():
        parts = [writer.part for writer in writers]
        sections = [section for part in parts for section in part.sections]
        files = {name: content for section in sections for name, content in section.files.items()}
        files[PAGE] = html_page("; ".join(part.title for part in parts), parts).encode()
    write_files(folder, files)
    return folder / PAGE


def writer_of(directory: Path, several: bool) -> Writer:
    """What writes the sections about the sweep or the run in a directory.

    Args:
        several: whether it is one of several, the names of whose files are told apart.

    Raises:
        UserError: there is nothing to show yet, or it cannot be read.
    """
    if is_run(directory):
        run = read_single_run(directory)
        writer = RunWriter(run, file_prefix(run, several))
        check_begun(writer)
        return writer
    sweep = read_sweep(directory)
    check_measured(sweep)
    return Writer(sweep, file_prefix(sweep, several))


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Writes each file whole or not at all, and removes those of an earlier report that this one
    does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / LISTING
    earlier = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    for path in (folder / Path(name).name for name in {*earlier} - {*files} if name):
        path.unlink(missing_ok=True)
    # the listing comes first: a report that is cut short lists all it may have written, and the next one tidies up
    files = {LISTING: "\n".join(sorted(files)).encode()} | files
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def file_prefix(sweep: Sweep, several: bool) -> str:
    """What the names of a sweep's files begin with, for one among several sweeps; else the empty
    string."""
    return re.sub(r"\W+", "_", sweep.name) + "_" if several else ""


def check_different(sweeps: Sequence[Sweep]) -> None:
    """Refuses to report on the same sweep twice, and on two whose files would have the same names.

    Raises:
        UserError: names them and their directories.
    """
    for prefix, n in Counter(file_prefix(sweep, several=True) for sweep in sweeps).items():
        if n > 1:
            alike = [sweep for sweep in sweeps if file_prefix(sweep, several=True) == prefix]
            names = list(dict.fromkeys(sweep.name for sweep in alike))
            same = f"hold the same sweep, {names[0]}"
            other = f"hold {' and '.join(names)}, of which all files would be called {prefix}*"
            places = " and ".join(str(sweep.directory) for sweep in alike)
            raise UserError(f"{places} {other if names[1:] else same}: name one of them, or write a report on each.")


def check_begun(writer: RunWriter) -> None:
    """Refuses a run of which there is nothing to show yet.

    Raises:
        UserError: names it.
    """
    if not (writer.panels or writer.film() or writer.score_tables()):
        raise UserError(f"{writer.sweep.directory} has neither curves nor samples yet: wait for the first update.")


def check_measured(sweep: Sweep) -> None:
    """Refuses a sweep of which there is nothing to show yet.

    Raises:
        UserError: says how far it is.
    """
    timed = sweep.view.kind == "time" and any(run.cell.results.get("updates_per_second") for run in sweep.runs)
    if not (sweep.finals or sweep.course or timed or any(run.complete for run in sweep.runs)):
        counts = counts_in_words(run.cell for run in sweep.runs)
        raise UserError(
            f"{sweep.directory}: no cell has a score yet: {counts}; wait for the first evaluation, or see "
            f"`python -m lit_gan.status {sweep.directory}`."
        )
