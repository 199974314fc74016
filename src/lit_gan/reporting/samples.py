"""What G has drawn or written in the cells of a sweep, at the end and over the training."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from lit_gan.figures.style import MOST_SHOWN
from lit_gan.records.layout import samples_folder
from lit_gan.reporting.collect import Sweep, SweepRun
from lit_gan.reporting.gallery import Film, Sheet, Strip, Tiles
from lit_gan.reporting.marks import marks_of

FRAMES = 5
"""So many updates of a training are shown of each cell of a sweep."""

Place = tuple[str, str]
"""A value of x and a value of hue."""


def samples_by_update(directory: Path) -> dict[int, Path]:
    """The files of the samples that a run has left during its training, `samples/<update>.png` or
    `.txt`, by their updates."""
    files = [path for ending in ("txt", "png") for path in samples_folder(directory).glob(f"*.{ending}")]
    return dict(sorted((int(path.stem), path) for path in files if path.stem.isdecimal()))


def last_samples(run: SweepRun, ending: str) -> Path | None:
    """The file of the samples of the highest update, `samples/<update>.<ending>`; None if there is
    none."""
    paths = [path for path in samples_by_update(run.cell.directory).values() if path.suffix == f".{ending}"]
    return paths[-1] if paths else None


def sample_sheet_of(sweep: Sweep, pictures: dict[Place, Path]) -> Sheet | Tiles:
    """What the cells at each place draw at the end: a table with a row for each hue and a column
    for each x; the first few of a search, or of a sweep without x, as tiles."""
    hues = [hue for hue in sweep.hues if any((x, hue) in pictures for x in sweep.xs)]
    if len(sweep.xs) == 1 or max(len(hues), len(sweep.xs)) > MOST_SHOWN:
        places = list(pictures)[:MOST_SHOWN]
        return Tiles([Strip(place_name(sweep, place), marks_of(sweep, *place), [pictures[place]]) for place in places])
    columns = {sweep.x_name(x): marks_of(sweep, x=x) for x in sweep.xs}
    rows = [(hue, [pictures.get((x, hue)) for x in sweep.xs]) for hue in hues]
    return Sheet(columns, [Strip(sweep.hue_name(hue), marks_of(sweep, hue=hue), paths) for hue, paths in rows])


def place_name(sweep: Sweep, place: Place) -> str:
    """The names of the values of hue and x at a place, "SN-GAN, A"."""
    x, hue = place
    return ", ".join(filter(None, [sweep.hue_name(hue), sweep.x_name(x)])) or sweep.name


def film_of(sweep: Sweep, runs: Iterable[SweepRun]) -> Film | None:
    """The samples over the training of the first of these runs at each place; None where no run has
    samples of two updates."""
    chosen: dict[tuple[str, ...], tuple[SweepRun, dict[int, Path]]] = {}
    for run in runs:
        if files := samples_by_update(run.cell.directory):
            chosen.setdefault((*sweep.x_and_hue(run), *sweep.other_axes(run)), (run, files))
    shown = list(chosen.values())[:MOST_SHOWN]
    updates = spread(sorted({update for _, files in shown for update in files}), FRAMES)
    strips = [
        Strip(run_name(sweep, run), marks_of(sweep, *sweep.x_and_hue(run)), [files.get(each) for each in updates])
        for run, files in shown
    ]
    return Film(updates, strips) if len(updates) > 1 else None


def run_name(sweep: Sweep, run: SweepRun) -> str:
    """The place of a run and its other coordinates, "SN-GAN, A, model=dcgan"."""
    return ", ".join([place_name(sweep, sweep.x_and_hue(run)), *sweep.other_axes(run)])


def spread(updates: Sequence[int], n: int) -> list[int]:
    """At most n of these updates, the first and the last among them, the others evenly between."""
    if len(updates) <= n:
        return list(updates)
    return [updates[round(place * (len(updates) - 1) / (n - 1))] for place in range(n)]
