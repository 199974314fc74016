"""What a page says of single cells: the lists to which bars, points and means lead."""

from collections.abc import Sequence

from lit_gan.records.score_names import scores_in_words
from lit_gan.reporting.collect import Sweep, SweepRun, last_records
from lit_gan.reporting.findings import progress
from lit_gan.reporting.gallery import CellList, ListedCell
from lit_gan.reporting.marks import anchor_of, marks_of
from lit_gan.reporting.samples import run_name, samples_by_update

COLUMNS = ("cell", "state", "update", "final scores")


def cell_lists(sweep: Sweep) -> list[CellList]:
    """The cells at each place of a sweep: those that differ in their seeds alone."""
    places: dict[str, list[SweepRun]] = {}
    for run in sorted(sweep.runs, key=lambda run: place_in_order(sweep, run)):
        places.setdefault(anchor_of(sweep, run), []).append(run)
    return [cell_list(sweep, anchor, runs) for anchor, runs in places.items()]


def place_in_order(sweep: Sweep, run: SweepRun) -> tuple[int, int]:
    """The number of a run's hue, and that of its x."""
    x, hue = sweep.x_and_hue(run)
    return sweep.hues.index(hue), sweep.xs.index(x)


def cell_list(sweep: Sweep, anchor: str, runs: Sequence[SweepRun]) -> CellList:
    """The list of cells that differ in their seeds alone."""
    marks = marks_of(sweep, *sweep.x_and_hue(runs[0]))
    return CellList(anchor, run_name(sweep, runs[0]), marks, COLUMNS, list(map(listed, runs)))


def listed(run: SweepRun) -> ListedCell:
    """The samples and the facts of one cell."""
    cell, files = run.cell, samples_by_update(run.cell.directory)
    words = final_score_lines(run) or cell.results.get("error") or ""
    return ListedCell(files[max(files)] if files else None, [cell.name, cell.state, progress(cell.results), words])


def final_score_lines(run: SweepRun) -> str:
    """The final scores of a finished cell, a line for each protocol."""
    if not run.complete:
        return ""
    return "\n".join(
        f"{record['protocol']['name']}, {scores_in_words(record['scores'], record.get('caveats', {}))}"
        for record in last_records(run)
    )
