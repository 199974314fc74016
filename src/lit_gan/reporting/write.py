"""From the directories of sweeps to the files of a report."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from lit_gan.errors import UserError
from lit_gan.figures.style import score_name, styled
from lit_gan.records.files import replacing
from lit_gan.reporting import figures, findings
from lit_gan.reporting.collect import Panel, Run, Sweep, read_sweep
from lit_gan.reporting.comparison import (
    Comparison,
    by_panel,
    caveat_note,
    caveat_of,
    compare,
    place_of,
    seconds,
    titles,
)
from lit_gan.reporting.page import Picture, Section, page
from lit_gan.reporting.papers import PaperScore, read_paper
from lit_gan.reporting.statistics import RULE
from lit_gan.sweep.cells import STATES

LISTING = ".lit_gan_report"
"""What a report has written, in its folder."""
SHOWN = (
    "mean over seeds; error bars: standard deviation over seeds; dots: single seeds; crosses: cells that failed; "
    "↑ higher is better, ↓ lower is better. "
)
LINES = f"Lines: {SHOWN}"
BARS = f"Bars: {SHOWN}“best” is each method at the setting with its best mean, chosen on the same seeds that it shows. "
BESIDE = (
    "The paper's numbers stand in a panel of their own, for they are of other data, another extractor or protocol. "
)
AMONG = "Diamonds: the paper's numbers, of the same data, extractor and protocol, with its own ±. "


def write_report(directories: Sequence[Path], output: Path | None) -> Path:
    """`report.html`, and beside it figures as PNG and SVG, tables as CSV and Markdown.

    Args:
        output: folder; None: `report` in the first directory.

    Raises:
        UserError: a directory holds no sweep, two hold the same one, or nothing has been measured yet.
    """
    sweeps = [read_sweep(directory) for directory in directories]
    check_different(sweeps)
    for sweep in sweeps:
        check_measured(sweep)
    folder = output or directories[0] / "report"
    with styled():
        sections = [section for sweep in sweeps for section in entitled(sweep, sweeps)]
        files = {name: content for section in sections for name, content in section.files.items()}
        files["report.html"] = page("; ".join(sweep.view.title for sweep in sweeps), sections).encode()
    write_files(folder, files)
    return folder / "report.html"


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Each whole or not at all; what an earlier report has written and this one has not is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / LISTING
    earlier = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    for path in (folder / Path(name).name for name in {*earlier} - {*files} if name):
        path.unlink(missing_ok=True)
    files = {LISTING: "\n".join(sorted(files)).encode()} | files
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def entitled(sweep: Sweep, sweeps: Sequence[Sweep]) -> list[Section]:
    """The sections about a sweep; of one among several they say which."""
    start = f"{sweep.view.title}: " if len(sweeps) > 1 else ""
    sections = sections_of(sweep, prefix(sweep, sweeps))
    return [replace(section, title=start + section.title) for section in sections]


def prefix(sweep: Sweep, sweeps: Sequence[Sweep]) -> str:
    """What the names of a sweep's files begin with, where there are several."""
    return re.sub(r"\W+", "_", sweep.name) + "_" if len(sweeps) > 1 else ""


def check_different(sweeps: Sequence[Sweep]) -> None:
    """Refuses to report on the same sweep twice.

    Raises:
        UserError: names it and its directories.
    """
    for name, n in Counter(sweep.name for sweep in sweeps).items():
        if n > 1:
            places = " and ".join(str(sweep.directory) for sweep in sweeps if sweep.name == name)
            raise UserError(f"{places} hold the same sweep, {name}: name one of them, or write a report on each.")


def check_measured(sweep: Sweep) -> None:
    """Refuses a sweep of which there is nothing to show yet.

    Raises:
        UserError: says how far it is.
    """
    timed = sweep.view.kind == "time" and any(run.cell.results.get("updates_per_second") for run in sweep.runs)
    if not (sweep.finals or sweep.course or timed or any(run.complete for run in sweep.runs)):
        raise UserError(
            f"{sweep.directory}: no cell has a score yet: {counts(sweep)}; wait for the first evaluation, or see "
            f"`python -m lit_gan.status {sweep.directory}`."
        )


def counts(sweep: Sweep) -> str:
    """ "94 finished, 1 running, 1 failed"."""
    found = Counter(run.cell.state for run in sweep.runs)
    return ", ".join(f"{found[state]} {state}" for state in STATES if found[state])


def sections_of(sweep: Sweep, start: str) -> list[Section]:
    """All that is said of a sweep; what there is nothing to say about is left out."""
    paper = read_paper(sweep.view.paper)
    comparisons = compare(sweep, paper)
    named = titles(by_panel(sweep.finals))
    curves = list(curve_pictures(sweep, start))
    main = main_section(sweep, comparisons, paper, curves, start)
    sections = [
        score_section(comparisons, start),
        Section("Learning curves", CURVES, curves if sweep.view.kind != "curves" else []),
        ranking_section(comparisons, start),
        best_last_section(sweep, start),
        samples_section(sweep, start),
        Section("Singular values", SPECTRA, list(spectra_pictures(sweep, comparisons, start))),
        time_section(sweep, paper, start),
        unfinished_section(sweep, start),
        warned_section(sweep, start),
        run_section(sweep, named, start),
    ]
    return [main, *(section for section in sections if not section.empty)]


CURVES = (
    "Thick: mean over the seeds that have come so far; thin: single seeds. Scores during training have a protocol of "
    "their own."
)
SAMPLES = "What the last weights make of the same latent vectors, one seed of each."
SPECTRA = (
    "Squared singular values of D's layers, the first scaled to 1, mean over seeds, at each method's best setting."
)


def main_section(
    sweep: Sweep, comparisons: list[Comparison], paper: list[PaperScore], curves: list[Picture], start: str
) -> Section:
    """What the sweep is about."""
    text = f"{sweep.name}: {len(sweep.runs)} cells, {counts(sweep)}."
    kind = sweep.view.kind
    if kind == "curves":
        pictures = curves
    elif kind == "time":
        pictures = time_pictures(sweep, paper, f"{start}main")
    elif kind == "table" or not comparisons:
        pictures = []
    else:
        pictures = list(main_pictures(comparisons, kind, f"{start}main"))
    return Section("Overview", text, pictures)


def main_pictures(comparisons: list[Comparison], kind: str, name: str) -> Iterator[Picture]:
    """Bars, or lines over x: a figure for each panel."""
    panels = [list(group) for _, group in groupby(comparisons, key=lambda comparison: comparison.title)]
    for number, panel in enumerate(panels, start=1):
        agrees = [each.paper_agrees for each in panel if each.paper_bests]
        caption = (LINES if kind == "lines" else BARS) + AMONG * any(agrees) + BESIDE * (not all(agrees))
        caption += " ".join(f"{each.name}:{each.note}" for each in panel if each.caveat)
        draw = DRAWN[kind]
        yield Picture(name + (f"_{number}" if len(panels) > 1 else ""), caption, figures.compared(panel, *draw))


DRAWN = {
    "bars": (figures.draw_bars, figures.draw_paper_bars),
    "lines": (figures.draw_lines, figures.draw_paper_lines),
}


SCORES = (
    "Final scores, mean ± standard deviation over seeds. A paper's ± is its own; that of an Inception score may be "
    "over parts of one model's samples."
)


def score_section(comparisons: list[Comparison], start: str) -> Section:
    """The numbers."""
    tables = [findings.score_table(f"{start}scores_{stem(comparisons, each)}", each) for each in comparisons]
    return Section("Scores", SCORES, tables=tables)


def stem(comparisons: Sequence[Comparison], one: Comparison) -> str:
    """The score, and the number of its panel if there are several."""
    same = [each for each in comparisons if each.score == one.score]
    return one.score if len(same) == 1 else f"{one.score}_{same.index(one) + 1}"


def curve_pictures(sweep: Sweep, start: str) -> Iterator[Picture]:
    """A figure for each score of each panel during training."""
    panels = by_panel(sweep.course)
    named = titles(panels)
    for number, (panel, scores) in enumerate(panels.items(), start=1):
        for name in sweep.shown(scores):
            mine = [score for score in scores if score.name == name]
            label = f"{start}curves_{name}" + (f"_{number}" if len(panels) > 1 else "")
            caveat = caveat_of(mine)
            title = f"{score_name(name, caveat)} during training: {named[panel]}{caveat_note(caveat)}"
            yield Picture(label, title, figures.curves(sweep, named[panel], name, mine))


def ranking_section(comparisons: list[Comparison], start: str) -> Section:
    """Which hue is better than which, and by how much."""
    tables = []
    for each in comparisons:
        if len(each.bests) > 1:
            name = stem(comparisons, each)
            tables.append(findings.ranking_table(f"{start}ranking_{name}", each))
            tables.append(findings.difference_table(f"{start}differences_{name}", each))
    return Section("Ranking, and which differences are larger than seed noise", RULE, tables=tables)


def best_last_section(sweep: Sweep, start: str) -> Section:
    """The best evaluation beside the last one."""
    groups: dict[tuple[Panel, str], list[Run]] = {}
    for run in sweep.runs:
        if found := findings.best_and_last(run):
            metric, _, last = found
            panel = next(score.panel for score in sweep.scores(run, [last]))
            groups.setdefault((panel, metric), []).append(run)
    named, pictures, tables = titles({panel for panel, _ in groups}), [], []
    for number, ((panel, metric), runs) in enumerate(groups.items(), start=1):
        name, score = f"{start}best_last_{number}", metric.rpartition("/")[2]
        pairs = [
            (run, best["value"], last["scores"][metric])
            for run in runs
            for _, best, last in [findings.best_and_last(run)]
        ]
        caveat = findings.best_and_last(runs[0])[2].get("caveats", {}).get(metric)
        called, note = score_name(score, caveat), caveat_note(caveat)
        caption = f"{called}, best against last: {named[panel]}. On the dashed line the last is the best.{note}"
        pictures.append(Picture(name, caption, figures.best_against_last(sweep, named[panel], score, pairs)))
        tables.append(findings.best_last_table(name, sweep, f"{called}: {named[panel]}{note}", runs))
    lost = sum(map(findings.ends_in_nothing, sweep.runs))
    missing = f" Cells not shown because their last score is not finite: {lost}." if lost else ""
    return Section("Best and last", BEST_LAST + missing, pictures, hidden=tables)


BEST_LAST = "The best evaluation during training was chosen by the very score it shows; the last one was not chosen."


def samples_section(sweep: Sweep, start: str) -> Section:
    """What each cell draws or writes."""
    table = findings.text_table(f"{start}texts", sweep)
    return Section("Samples", SAMPLES, list(sample_pictures(sweep, start)), [table] if table.rows else [])


def sample_pictures(sweep: Sweep, start: str) -> Iterator[Picture]:
    """A sheet for each combination of other coordinates."""
    sheets: dict[tuple[str, ...], dict[tuple[str, str], Path]] = {}
    for run in sweep.runs:
        path = findings.last_samples(run, "png")
        if path:
            sheets.setdefault(sweep.rest(run), {}).setdefault(place_of(sweep, run), path)
    for number, (rest, pictures) in enumerate(sheets.items(), start=1):
        name = f"{start}samples" + (f"_{number}" if len(sheets) > 1 else "")
        yield Picture(name, ", ".join(["Samples", *rest]), figures.samples(sweep, pictures), raster=True)


def spectra_pictures(sweep: Sweep, comparisons: list[Comparison], start: str) -> Iterator[Picture]:
    """Figure 3, if the cells hold the tables of `analysis=spectra`."""
    chosen = comparisons[0] if comparisons else None
    at_best = [run for run in sweep.runs if findings.at_best_setting(chosen, run)]
    for number, rest in enumerate(dict.fromkeys(map(sweep.rest, at_best)), start=1):
        runs = [run for run in at_best if sweep.rest(run) == rest]
        found = {hue: spectra_tables(run for run in runs if run.at(sweep.view.hue) == hue) for hue in sweep.hues}
        spectra = {hue: findings.mean_spectra(tables) for hue, tables in found.items() if tables}
        if spectra:
            name = f"{start}spectra" + (f"_{number}" if rest else "")
            yield Picture(name, ", ".join([SPECTRA, *rest]), figures.spectra(sweep, spectra))


def spectra_tables(runs: Iterator[Run]) -> list[list[dict[str, str]]]:
    """The rows of `analysis/spectra.csv` of each run that has one."""
    paths = [run.cell.directory / "analysis" / "spectra.csv" for run in runs]
    return [list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) for path in paths if path.exists()]


def time_pictures(sweep: Sweep, paper: list[PaperScore], name: str) -> list[Picture]:
    """Seconds for 100 generator updates."""
    comparisons = seconds(sweep, paper)
    if not comparisons:
        return []
    return [
        Picture(name + (f"_{number}" if len(comparisons) > 1 else ""), TIME, figures.compared([each], *DRAWN["bars"]))
        for number, each in enumerate(comparisons, start=1)
    ]


TIME = (
    "Seconds for 100 generator updates without evaluations, one panel for each device. Several cells at once on one "
    "device slow each other down."
)


def time_section(sweep: Sweep, paper: list[PaperScore], start: str) -> Section:
    """What it cost."""
    pictures = time_pictures(sweep, paper, f"{start}time") if sweep.view.kind != "time" else []
    return Section("Time", "", pictures, [findings.cost_table(f"{start}cost", sweep)])


def unfinished_section(sweep: Sweep, start: str) -> Section:
    """What is not there yet, or never will be."""
    table = findings.unfinished_table(f"{start}unfinished", sweep)
    return Section("Failed, stopped, running and waiting cells", tables=[table] if table.rows else [])


def warned_section(sweep: Sweep, start: str) -> Section:
    """Finished cells that have collapsed, or depart from what their method's paper prescribes."""
    table = findings.warned_table(f"{start}warnings", sweep)
    return Section("Finished with warnings", tables=[table] if table.rows else [])


def run_section(sweep: Sweep, named: dict[Panel, str], start: str) -> Section:
    """Exactly what was run."""
    tables = [findings.run_table(f"{start}run", sweep)]
    tables += [findings.protocol_table(f"{start}protocols", named)] if named else []
    return Section("What was run", "", [], tables, [findings.cell_table(f"{start}cells", sweep, named)])
