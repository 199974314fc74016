"""The sections of a report about one sweep."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from lit_gan.figures.style import score_name, styles
from lit_gan.records.score_names import short_name
from lit_gan.reporting import figures, findings
from lit_gan.reporting.cell_lists import cell_lists
from lit_gan.reporting.collect import PanelKey, Sweep, SweepRun
from lit_gan.reporting.comparison import (
    Comparison,
    by_panel,
    caveat_note,
    caveat_of,
    compare,
    compare_speed,
    panel_titles,
)
from lit_gan.reporting.gallery import Film
from lit_gan.reporting.marks import marks_of
from lit_gan.reporting.page import CaptionedFigure, Part, Section, Switch
from lit_gan.reporting.papers import PaperScore, read_paper
from lit_gan.reporting.samples import film_of, last_samples, sample_sheet_of
from lit_gan.reporting.statistics import RULE
from lit_gan.reporting.tables import Table
from lit_gan.sweep.cells import counts_in_words

MEANS = (
    "mean over seeds; error bars: standard deviation over seeds; dots: single seeds; crosses: cells that failed; "
    "↑ higher is better, ↓ lower is better. "
)
LINES = f"Lines: {MEANS}"
BARS = f"Bars: {MEANS}“best” is each method at the setting with its best mean, chosen on the same seeds that it shows. "
BESIDE = (
    "The paper's numbers stand in a panel of their own, for they are of other data, another extractor or protocol. "
)
AMONG = "Diamonds: the paper's numbers, of the same data, extractor and protocol, with its own ±. "
SCORES = (
    "Final scores, mean ± standard deviation over seeds. A paper's ± is its own; that of an Inception score may be "
    "over parts of one model's samples."
)
CURVES = (
    "Thick: mean over the seeds that have come so far; thin: single seeds. Scores during training have a protocol of "
    "their own."
)
BEST_LAST = "The best evaluation during training was chosen by the very score it shows; the last one was not chosen."
SAMPLES = "What the last weights make of the same latent vectors, one seed of each."
FILM = "What the networks make of the same latent vectors during the training, one seed of each, at its best setting."
CELLS = "Bars, points and numbers lead to the cells that they are made of. Their directories are below"
SPECTRA = (
    "Squared singular values of D's layers, the first scaled to 1, mean over seeds, at each method's best setting."
)
TIME = (
    "Seconds for 100 generator updates without evaluations, one panel for each device. Several cells at once on one "
    "device slow each other down."
)
DRAWN = {
    "bars": (figures.draw_bars, figures.draw_paper_bars),
    "lines": (figures.draw_lines, figures.draw_paper_lines),
}
"""How our numbers and the paper's are drawn in a main figure of each kind."""

Item = TypeVar("Item")


def numbered(name: str, items: Iterable[Item]) -> Iterator[tuple[str, Item]]:
    """Each item with the name of its file: `name` for an only one, else `name_1`, `name_2` and so
    on."""
    items = list(items)
    for number, item in enumerate(items, start=1):
        yield (f"{name}_{number}" if len(items) > 1 else name), item


@dataclass(frozen=True)
class Writer:
    """Writes the sections about one sweep.

    Attributes:
        prefix: what the names of all its files begin with.
    """

    sweep: Sweep
    prefix: str

    @cached_property
    def paper(self) -> list[PaperScore]:
        """The numbers of the paper that the sweep is compared with."""
        return read_paper(self.sweep.view.paper)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """The final scores, one comparison for each score in each panel."""
        return compare(self.sweep, self.paper)

    @cached_property
    def curves(self) -> list[CaptionedFigure]:
        """The figures of the scores during training."""
        return list(self.draw_curves())

    @cached_property
    def runs_at_best(self) -> list[SweepRun]:
        """The runs of every hue at its best setting; all where no best is known."""
        found, sweep = self.best_settings, self.sweep
        return [run for run in sweep.runs if not found or found.get(run.at(sweep.view.hue)) == run.at(sweep.view.x)]

    @property
    def best_settings(self) -> dict[str, str]:
        """The best x of every hue that has one, by the first score."""
        return self.comparisons[0].settings if self.comparisons else {}

    @property
    def part(self) -> Part:
        """What the page says of the sweep."""
        return Part(self.sweep.view.title, self.sections(), self.switches())

    def switches(self) -> dict[str, list[Switch]]:
        """The methods and the settings that a reader may switch off, where there are several."""
        sweep, drawn = self.sweep, styles(self.sweep.hues)
        hues = [Switch(marks_of(sweep, hue=hue), sweep.hue_name(hue), drawn[hue].colour) for hue in sweep.hues]
        xs = [Switch(marks_of(sweep, x=x), sweep.x_name(x)) for x in sweep.xs]
        axes = [(sweep.axis_name(sweep.view.hue), hues), (sweep.axis_name(sweep.view.x), xs)]
        return {name: values for name, values in axes if len(values) > 1}

    def sections(self) -> list[Section]:
        """All sections that have something to show, and the overview in any case."""
        sections = [
            self.scores(),
            Section("Learning curves", CURVES, self.curves if self.sweep.view.kind != "curves" else []),
            self.ranking(),
            self.best_and_last(),
            self.samples(),
            Section("Samples over the training", FILM, galleries=self.film()),
            Section("Singular values", SPECTRA, list(self.draw_spectra())),
            self.time(),
            self.unfinished(),
            self.warnings(),
            Section("Cells", f"{CELLS} {self.sweep.directory}.", galleries=cell_lists(self.sweep)),
            self.what_was_run(),
        ]
        return [self.overview(), *(section for section in sections if not section.empty)]

    def overview(self) -> Section:
        """The section with the main figure, of the kind that the sweep's config asks for."""
        sweep = self.sweep
        kind, pictures = sweep.view.kind, []
        if kind == "curves":
            pictures = self.curves
        elif kind == "time":
            pictures = self.draw_speed("main")
        elif kind in DRAWN:
            pictures = list(self.draw_comparisons(kind))
        counts = counts_in_words(run.cell for run in sweep.runs)
        return Section("Overview", f"{sweep.name}: {len(sweep.runs)} cells, {counts}.", pictures)

    def draw_comparisons(self, kind: str) -> Iterator[CaptionedFigure]:
        """The final scores as bars, or as lines over x: a figure for each panel."""
        panels = [list(group) for _, group in groupby(self.comparisons, key=lambda comparison: comparison.title)]
        for name, panel in numbered(f"{self.prefix}main", panels):
            caption = LINES if kind == "lines" else BARS
            agrees = [each.paper_agrees for each in panel if each.paper_bests]
            if any(agrees):
                caption += AMONG
            if not all(agrees):
                caption += BESIDE
            caption += " ".join(f"{each.name}:{each.note}" for each in panel if each.caveat)
            yield CaptionedFigure(name, caption, figures.compared(panel, *DRAWN[kind]))

    def scores(self) -> Section:
        """The section with the tables of the final scores."""
        tables = [
            findings.score_table(f"{self.prefix}scores_{self.score_file_name(each)}", each) for each in self.comparisons
        ]
        return Section("Scores", SCORES, tables=tables)

    def score_file_name(self, comparison: Comparison) -> str:
        """The score's name, and the number of its panel if the score has several."""
        panels = [each for each in self.comparisons if each.score == comparison.score]
        return next(name for name, each in numbered(comparison.score, panels) if each is comparison)

    def draw_curves(self) -> Iterator[CaptionedFigure]:
        """A figure for each score of each panel during training."""
        panels = by_panel(self.sweep.course)
        titles = panel_titles(panels)
        for suffix, (panel, scores) in numbered("", panels.items()):
            for score in self.sweep.visible_scores(scores):
                mine = [each for each in scores if each.name == score]
                caveat = caveat_of(mine)
                caption = f"{score_name(score, caveat)} during training: {titles[panel]}{caveat_note(caveat)}"
                figure = figures.curves(self.sweep, titles[panel], score, mine)
                yield CaptionedFigure(f"{self.prefix}curves_{score}{suffix}", caption, figure)

    def ranking(self) -> Section:
        """The section about which hue is better than which, and by how much."""
        tables = []
        for each in self.comparisons:
            if len(each.bests) > 1:
                name = self.score_file_name(each)
                tables.append(findings.ranking_table(f"{self.prefix}ranking_{name}", each))
                tables.append(findings.difference_table(f"{self.prefix}differences_{name}", each))
        return Section("Ranking, and which differences are larger than seed noise", RULE, tables=tables)

    def best_and_last(self) -> Section:
        """The section that holds the best evaluation during training against the last one."""
        groups: dict[tuple[PanelKey, str], list[SweepRun]] = {}
        for run in self.sweep.runs:
            if found := findings.best_and_last(run):
                panel = next(score.panel for score in self.sweep.scores_of(run, [found.last]))
                groups.setdefault((panel, found.metric), []).append(run)
        titles, pictures, tables = panel_titles({panel for panel, _ in groups}), [], []
        for number, ((panel, _), runs) in enumerate(groups.items(), start=1):
            picture, table = self.show_best_and_last(f"{self.prefix}best_last_{number}", titles[panel], runs)
            pictures.append(picture)
            tables.append(table)
        hidden = sum(map(findings.ends_not_finite, self.sweep.runs))
        missing = f" Cells not shown because their last score is not finite: {hidden}." if hidden else ""
        return Section("Best and last", BEST_LAST + missing, pictures, hidden=tables)

    def show_best_and_last(self, name: str, title: str, runs: Sequence[SweepRun]) -> tuple[CaptionedFigure, Table]:
        """The figure and the table of the best and the last evaluation of runs that one metric and
        panel share."""
        found = findings.best_and_last(runs[0])
        score, caveat = short_name(found.metric), found.last.get("caveats", {}).get(found.metric)
        called, note = score_name(score, caveat), caveat_note(caveat)
        caption = f"{called}, best against last: {title}. On the dashed line the last is the best.{note}"
        pairs = [(run, each.best_value, each.last_value) for run in runs for each in [findings.best_and_last(run)]]
        figure = figures.best_against_last(self.sweep, title, score, pairs)
        table = findings.best_last_table(name, self.sweep, f"{called}: {title}{note}", runs)
        return CaptionedFigure(name, caption, figure), table

    def samples(self) -> Section:
        """The section with what each cell draws or writes."""
        table = findings.text_table(f"{self.prefix}texts", self.sweep)
        return Section("Samples", SAMPLES, list(self.draw_samples()), [table] if table.rows else [])

    def draw_samples(self) -> Iterator[CaptionedFigure]:
        """A sheet of samples for each combination of other coordinates."""
        sheets: dict[tuple[str, ...], dict[tuple[str, str], Path]] = {}
        for run in self.sweep.runs:
            if path := last_samples(run, "png"):
                sheets.setdefault(self.sweep.other_axes(run), {}).setdefault(self.sweep.x_and_hue(run), path)
        for name, (others, pictures) in numbered(f"{self.prefix}samples", sheets.items()):
            figure = figures.samples(self.sweep, pictures)
            yield CaptionedFigure(name, ", ".join(["Samples", *others]), figure, sample_sheet_of(self.sweep, pictures))

    def film(self) -> list[Film]:
        """The samples over the training of one seed of each hue, at its best setting if that is
        known."""
        unknown = [run for run in self.sweep.runs if run.at(self.sweep.view.hue) not in self.best_settings]
        film = film_of(self.sweep, [*self.runs_at_best, *unknown])
        return [film] if film else []

    def draw_spectra(self) -> Iterator[CaptionedFigure]:
        """The singular values of D, if the cells hold the tables of `analysis=spectra`."""
        sweep, at_best = self.sweep, self.runs_at_best
        for number, others in enumerate(dict.fromkeys(map(sweep.other_axes, at_best)), start=1):
            runs = [run for run in at_best if sweep.other_axes(run) == others]
            found = {hue: spectra_tables(run for run in runs if run.at(sweep.view.hue) == hue) for hue in sweep.hues}
            spectra = {hue: findings.mean_spectra(tables) for hue, tables in found.items() if tables}
            if spectra:
                name = f"{self.prefix}spectra" + (f"_{number}" if others else "")
                yield CaptionedFigure(name, ", ".join([SPECTRA, *others]), figures.spectra(sweep, spectra))

    def draw_speed(self, name: str) -> list[CaptionedFigure]:
        """The seconds for 100 generator updates, a figure for each device."""
        devices = numbered(f"{self.prefix}{name}", compare_speed(self.sweep, self.paper))
        return [CaptionedFigure(file, TIME, figures.compared([each], *DRAWN["bars"])) for file, each in devices]

    def time(self) -> Section:
        """The section about what the sweep has cost."""
        pictures = self.draw_speed("time") if self.sweep.view.kind != "time" else []
        return Section("Time", "", pictures, [findings.cost_table(f"{self.prefix}cost", self.sweep)])

    def unfinished(self) -> Section:
        """The section about cells that have no final score yet, or never will."""
        table = findings.unfinished_table(f"{self.prefix}unfinished", self.sweep)
        return Section("Failed, stopped, running and waiting cells", tables=[table] if table.rows else [])

    def warnings(self) -> Section:
        """The section about finished cells that collapsed, or depart from what their method's paper
        prescribes."""
        table = findings.warned_table(f"{self.prefix}warnings", self.sweep)
        return Section("Finished with warnings", tables=[table] if table.rows else [])

    def what_was_run(self) -> Section:
        """The section about what exactly was run and how it was measured."""
        titles = panel_titles(by_panel(self.sweep.finals))
        tables = [findings.run_table(f"{self.prefix}run", self.sweep)]
        if titles:
            tables.append(findings.protocol_table(f"{self.prefix}protocols", titles))
        hidden = [findings.cell_table(f"{self.prefix}cells", self.sweep, titles)]
        return Section("What was run", "", tables=tables, hidden=hidden)


def spectra_tables(runs: Iterator[SweepRun]) -> list[list[dict[str, str]]]:
    """The rows of `analysis/spectra.csv` of each run that has one."""
    paths = [run.cell.directory / "analysis" / "spectra.csv" for run in runs]
    return [list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) for path in paths if path.exists()]
