"""The tables of a report."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lit_gan.figures.style import starred
from lit_gan.overrides import as_override_value
from lit_gan.records.chosen import GAME
from lit_gan.reporting.collect import PanelKey, Sweep, SweepRun, last_start
from lit_gan.reporting.comparison import Comparison, caveat_note
from lit_gan.reporting.marks import cells_anchor, marks_of
from lit_gan.reporting.papers import PaperScore
from lit_gan.reporting.samples import last_samples
from lit_gan.reporting.statistics import Correlations, Difference, middle, rank_correlations, ranks, summarize
from lit_gan.reporting.tables import (
    NONE,
    Measured,
    Table,
    measured_number,
    measured_summary,
    measured_time,
    number_text,
    plus_minus,
    summary_numbers,
)
from lit_gan.sweep.own_flags import own_config_flags
from lit_gan.system.shell import shell_command

GROUPS = ("data", *GAME, "metrics")
"""The config groups whose choices the table of what was run names."""
LINES_SHOWN = 6
"""So many lines of a cell's text stand in its table."""
LEAST_METHODS = 3
"""Fewer methods than these have no ranking worth a correlation."""
DRAWS = 10_000
"""So often the seeds are drawn again for the uncertainty of a rank correlation."""


def score_table(name: str, comparison: Comparison) -> Table:
    """A row for each hue: mean ± standard deviation over seeds at each x and at the best one, and
    the paper's."""
    sweep, columns = comparison.sweep, score_columns(comparison)
    rows = [score_row(comparison, hue, columns) for hue in sweep.hues]
    ours = [NONE] * (len(columns) - 2)
    of_paper = [[*ours, *paper_entries(number)] for number in paper_only_rows(comparison)]
    title = f"{comparison.name}: {comparison.title}{paper_note(comparison)}{comparison.note}"
    hues = [*(marks_of(sweep, hue=hue) for hue in sweep.hues), *[""] * len(of_paper)]
    xs = ["", *(marks_of(sweep, x=x) for x in sweep.xs)] if len(sweep.xs) > 1 else []
    return Table(name, title, columns, [*rows, *of_paper], hues, [*xs, *[""] * (len(columns) - len(xs))])


def score_columns(comparison: Comparison) -> list[str]:
    """The columns of the table of scores."""
    sweep = comparison.sweep
    several = len(sweep.xs) > 1
    return [
        sweep.axis_name(sweep.view.hue),
        *([sweep.x_name(x) for x in sweep.xs] if several else ["ours"]),
        *(["best", "best setting"] if several and comparison.settings else []),
        "seeds",
        *(["paper", "paper's row"] if comparison.paper else []),
    ]


def paper_note(comparison: Comparison) -> str:
    """How the paper's numbers were measured, as a sentence; the empty string if they were measured
    as ours."""
    if not comparison.paper or comparison.paper_agrees:
        return ""
    return f" (The {comparison.paper[0].title}: not to be compared number by number.)"


def score_row(comparison: Comparison, hue: str, columns: Sequence[str]) -> list[str]:
    """The row of one hue."""
    sweep = comparison.sweep
    row = [sweep.hue_name(hue), *(score_entry(comparison, x, hue) for x in sweep.xs)]
    if "best setting" in columns:
        x = comparison.settings.get(hue)
        row += [NONE, NONE] if x is None else [score_entry(comparison, x, hue), sweep.x_name(x)]
    row.append(seed_counts(comparison, hue))
    if "paper" in columns:
        row += paper_entries(comparison.paper_bests.get(hue))
    return row


def seed_counts(comparison: Comparison, hue: str) -> str:
    """The number of seeds that a hue has at each x, "3", or the fewest and the most of them,
    "2-3"."""
    counts = [len(comparison.values.get((x, hue), [])) for x in comparison.sweep.xs]
    return "-".join(map(str, dict.fromkeys((min(counts), max(counts)))))


def score_entry(comparison: Comparison, x: str, hue: str) -> str:
    """What was measured at a place and how many cells failed there, "12.0 ± 2.8 (1 failed)"; it
    leads to the cells."""
    found, failed = comparison.summaries.get((x, hue)), comparison.failed_counts[x, hue]
    if not found and not failed:
        return NONE
    text = plus_minus(found.mean, found.std) + (f" ({failed} failed)" if failed else "") if found else "failed"
    numbers = (summary_numbers(found) if found else {"n": 0}) | {"failed": failed}
    return Measured(text, numbers, cells_anchor(comparison.sweep, comparison.others, x, hue))


def paper_value(number: PaperScore | None) -> str:
    """A number as the paper prints it; a dash where there is none."""
    if number is None:
        return NONE
    text = f"{number.value:g}" if number.std is None else f"{number.value:g} ± {number.std:g}"
    return Measured(text, {"": number.value, "std": number.std})


def paper_entries(number: PaperScore | None) -> list[str]:
    """A number of the paper and the row of the paper where it stands; dashes where there is
    none."""
    return [paper_value(number), f"{number.label} ({number.source})"] if number else [NONE, NONE]


def paper_only_rows(comparison: Comparison) -> list[PaperScore]:
    """The paper's numbers that belong to no hue of the sweep, or to an x that it has not."""
    sweep, view = comparison.sweep, comparison.sweep.view
    return [
        number
        for number in comparison.paper
        if number.at(view.hue) not in sweep.hues or number.at(view.x) not in (None, *sweep.xs)
    ]


def ranking_table(name: str, comparison: Comparison) -> Table:
    """The hues by their best score, and the paper's ranks of the same hues."""
    sweep, bests, paper = comparison.sweep, comparison.bests, comparison.paper_bests
    ours = ranks({hue: each.mean for hue, each in bests.items()}, comparison.end)
    theirs = ranks({hue: paper[hue].value for hue in bests if hue in paper}, comparison.end)
    rows = [ranking_row(comparison, hue, ours[hue], theirs.get(hue)) for hue in bests]
    rows += [
        [NONE, sweep.hue_name(hue), "failed", NONE, "0", paper_value(paper.get(hue)), NONE]
        for hue in comparison.all_failed
    ]
    columns = ["rank", sweep.axis_name(sweep.view.hue), comparison.name, "best setting", "seeds"]
    columns += ["paper", "paper's rank"]
    title = f"Ranking by {comparison.name}: {comparison.title}. {correlation(comparison)}"
    hues = [marks_of(sweep, hue=hue) for hue in (*bests, *comparison.all_failed)]
    return Table(name, title + paper_note(comparison) + comparison.note, columns, rows, hues)


def ranking_row(comparison: Comparison, hue: str, rank: float, paper_rank: float | None) -> list[str]:
    """The row of one hue, with its rank among ours and among the paper's."""
    sweep, x = comparison.sweep, comparison.settings[hue]
    return [
        f"{rank:g}",
        sweep.hue_name(hue),
        score_entry(comparison, x, hue),
        sweep.x_name(x) or NONE,
        str(comparison.bests[hue].n),
        paper_value(comparison.paper_bests.get(hue)),
        NONE if paper_rank is None else f"{paper_rank:g}",
    ]


def correlation(comparison: Comparison) -> str:
    """Spearman's and Kendall's rank correlation with the paper, as a sentence; with their
    uncertainty over seeds where there are several."""
    if not comparison.paper_bests:
        return "No numbers of a paper to compare with."
    hues = [hue for hue in comparison.bests if hue in comparison.paper_bests]
    ours, theirs = map(np.array, comparison.beside_paper(hues))
    found = rank_correlations(ours, theirs)
    over = f"Rank correlation with the paper over {len(hues)} methods"
    if len(hues) < LEAST_METHODS or np.isnan(found.spearman):
        return f"{over}: none, as it needs {LEAST_METHODS} or more with different scores."
    failed = [comparison.sweep.hue_name(hue) for hue in comparison.all_failed]
    without = f", without {', '.join(failed)}, of which every cell failed" if failed else ""
    spearman, kendall, note = correlation_texts(found, comparison.redrawn(hues, DRAWS), theirs)
    return f"{over}{without}: Spearman's {spearman}, Kendall's {kendall}.{note}"


def correlation_texts(found: Correlations, drawn: np.ndarray | None, theirs: np.ndarray) -> tuple[str, str, str]:
    """The two correlations as text, with the interval over seeds if it can be known, and a sentence
    that explains the interval.

    Args:
        drawn: our means, had other seeds been drawn; None if that cannot be known.
        theirs: the paper's numbers.
    """
    if drawn is None:
        return f"{found.spearman:.2f}", f"{found.kendall:.2f}", ""
    ends = [middle(each) for each in rank_correlations(drawn, theirs)]
    texts = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, (low, high) in zip(found, ends, strict=True)]
    return *texts, f" In brackets the middle 95 % of {DRAWS} draws of the seeds with replacement."


def difference_table(name: str, comparison: Comparison) -> Table:
    """Whether each pair of hues, at their best settings, differs by more than seed noise."""
    sweep, hues = comparison.sweep, list(comparison.bests)
    found = {(first, second): each for first, second, each in comparison.differences()}
    rows = [
        [sweep.hue_name(first), *(difference_text(found.get((first, second))) for second in hues[1:])]
        for first in hues[:-1]
    ]
    title = f"{comparison.name}, difference and what it must exceed: {comparison.title}{comparison.note}"
    marks = [marks_of(sweep, hue=hue) for hue in hues]
    columns = ["better than", *(sweep.hue_name(hue) for hue in hues[1:])]
    return Table(name, title, columns, rows, marks[:-1], ["", *marks[1:]])


def difference_text(found: Difference | None) -> str:
    """Whether a difference exceeds seed noise: "yes: 12.3 > 4.5", "no: 1.2 < 4.5" or "unknown:
    12.3"."""
    if found is None:
        return ""
    size, numbers = number_text(abs(found.value)), {"": found.value, "must exceed": found.threshold}
    if found.threshold is None:
        return Measured(f"unknown: {size}", numbers)
    answer, sign = ("yes", ">") if found.verdict == "larger" else ("no", "<")
    return Measured(f"{answer}: {size} {sign} {number_text(found.threshold)}", numbers)


class BestAndLast(NamedTuple):
    """The best and the last evaluation of a run, by the same protocol.

    Attributes:
        metric: the one that chose the best checkpoint, "inception/fid".
        best, last: the records of the two evaluations.
    """

    metric: str
    best: dict
    last: dict

    @property
    def best_value(self) -> float:
        """The metric at the best evaluation."""
        return self.best["value"]

    @property
    def last_value(self) -> float:
        """The metric at the last evaluation."""
        return self.last["scores"][self.metric]


def best_and_last(run: SweepRun) -> BestAndLast | None:
    """The best and the last evaluation of a run; None if it lacks one, or they differ in their
    protocol."""
    best, course = run.cell.results.get("best"), run.cell.results.get("course", [])
    if not best or not course or best.get("protocol") != course[-1]["protocol"]:
        return None
    value = course[-1]["scores"].get(best["metric"])
    return None if value is None else BestAndLast(best["metric"], best, course[-1])


def ends_not_finite(run: SweepRun) -> bool:
    """Whether the last evaluation of a run that had a best one is not finite."""
    results = run.cell.results
    best, course = results.get("best"), results.get("course", [])
    return bool(best and course) and course[-1]["scores"].get(best["metric"], 0) is None


def best_last_table(name: str, sweep: Sweep, title: str, runs: Sequence[SweepRun]) -> Table:
    """A row for each place: the score at the best and at the last evaluation, over seeds.

    Args:
        runs: those for which `best_and_last` finds something.
    """
    places = defaultdict(list)
    for run in runs:
        places[sweep.x_and_hue(run)].append(best_and_last(run))
    by_hue = sorted(places, key=lambda place: (sweep.hues.index(place[1]), sweep.xs.index(place[0])))
    rows = []
    for x, hue in by_hue:
        place = [sweep.hue_name(hue), sweep.x_name(x)] if sweep.view.x else [sweep.hue_name(hue)]
        rows.append([*place, *best_last_entries(places[x, hue])])
    axes = [sweep.axis_name(sweep.view.hue), *([sweep.axis_name(sweep.view.x)] if sweep.view.x else [])]
    columns = [*axes, "best", "its update (mean)", "last", "last update (mean)", "last / best", "seeds"]
    return Table(name, title, columns, rows, [marks_of(sweep, *place) for place in by_hue])


def best_last_entries(found: Sequence[BestAndLast]) -> list[str]:
    """The best score and its update, the last score and its update, their ratio and the number of
    seeds."""
    best, last = summarize([each.best_value for each in found]), summarize([each.last_value for each in found])
    best_at, last_at = fmean(each.best["update"] for each in found), fmean(each.last["update"] for each in found)
    ratio = Measured(f"{last.mean / best.mean:.2f}", {"": last.mean / best.mean}) if best.mean else NONE
    updates = [Measured(f"{at:.0f}", {"": at}) for at in (best_at, last_at)]
    return [measured_summary(best), updates[0], measured_summary(last), updates[1], ratio, str(best.n)]


def cost_table(name: str, sweep: Sweep) -> Table:
    """The time that each hue has cost on each device, over all its cells."""
    costs = defaultdict(list)
    for run in sweep.runs:
        if seconds := run.cell.results.get("seconds"):
            costs[run.at(sweep.view.hue), run.cell.results.get("device") or "unknown"].append((run, seconds))
    rows = [cost_row(sweep, hue, device, found) for (hue, device), found in costs.items()]
    columns = [sweep.axis_name(sweep.view.hue), "device", "cells", "seconds per 100 updates", "training per cell"]
    columns += ["evaluation per cell", "all cells together"]
    title = "Time of all cells that have begun (mean ± standard deviation over cells)"
    return Table(name, title, columns, rows, [marks_of(sweep, hue=hue) for hue, _ in costs])


def cost_row(sweep: Sweep, hue: str, device: str, found: Sequence[tuple[SweepRun, dict]]) -> list[str]:
    """The row of one hue on one device."""
    rates = [100 / rate for run, _ in found if (rate := run.cell.results.get("updates_per_second"))]
    training, evaluation = (summarize([seconds[part] for _, seconds in found]) for part in ("training", "evaluation"))
    total = sum(seconds["training"] + seconds["evaluation"] for _, seconds in found)
    speed = measured_summary(summarize(rates) if rates else None)
    times = [measured_time(seconds) for seconds in (training.mean, evaluation.mean, total)]
    return [sweep.hue_name(hue), device, str(len(found)), speed, *times]


def unfinished_table(name: str, sweep: Sweep) -> Table:
    """The cells that are not finished, with the update that they reached and the reason."""
    runs = [run for run in sweep.runs if not run.complete]
    rows = [
        [run.cell.name, run.cell.state, progress(run.cell.results), run.cell.results.get("error") or ""] for run in runs
    ]
    marks = [marks_of_run(sweep, run) for run in runs]
    return Table(name, "Cells without a final score", ["cell", "state", "update", "reason"], rows, marks)


def marks_of_run(sweep: Sweep, run: SweepRun) -> str:
    """The classes of what a page says of one cell."""
    return marks_of(sweep, *sweep.x_and_hue(run))


def progress(results: dict[str, Any]) -> str:
    """How far a training came, "7 of 100"; the empty string if it never began."""
    planned = f" of {results['updates_planned']}" if results.get("updates_planned") else ""
    return f"{results['updates']}{planned}" if "updates" in results else ""


def warned_table(name: str, sweep: Sweep) -> Table:
    """A row for each warning of a finished cell."""
    finished = [run for run in sweep.runs if run.complete]
    warnings = [(run, sentence) for run in finished for sentence in run.cell.results.get("warnings", [])]
    rows = [[run.cell.name, sentence] for run, sentence in warnings]
    marks = [marks_of_run(sweep, run) for run, _ in warnings]
    return Table(name, "Warnings of finished cells", ["cell", "warning"], rows, marks)


def text_table(name: str, sweep: Sweep) -> Table:
    """The first lines of the last text of every cell that writes text."""
    rows, marks = [], []
    for run in sweep.runs:
        if path := last_samples(run, "txt"):
            lines = path.read_text(encoding="utf-8").splitlines()
            rows.append([run.cell.name, "\n".join(lines[:LINES_SHOWN])])
            marks.append(marks_of_run(sweep, run))
    return Table(name, f"The first {LINES_SHOWN} texts of each cell", ["cell", "texts"], rows, marks)


def cell_table(name: str, sweep: Sweep, titles: dict[PanelKey, str]) -> Table:
    """Every final score of every cell."""
    rows = [
        [
            score.run.cell.name,
            titles[score.panel],
            starred(score.name, score.caveat),
            measured_number(score.value),
            str(score.update),
        ]
        for score in sweep.finals
    ]
    notes = "".join(map(caveat_note, dict.fromkeys(score.caveat for score in sweep.finals)))
    marks, columns = [marks_of_run(sweep, score.run) for score in sweep.finals], ["value", "update"]
    title = f"Every final score of every cell{notes}"
    return Table(name, title, ["cell", "measured", "score", *columns], rows, marks)


def protocol_table(name: str, titles: dict[PanelKey, str]) -> Table:
    """How the final scores were measured, in full: a column for each protocol."""
    facts = list(dict.fromkeys(fact for panel in titles for fact in panel.facts))
    protocols = list({panel.protocol: panel for panel in titles}.values())
    rows = [[fact, *(str(panel.facts.get(fact, NONE)) for panel in protocols)] for fact in facts]
    columns = ["", *(", ".join(filter(None, panel.conditions)) for panel in protocols)]
    return Table(name, "How the final scores were measured", columns, rows)


def run_table(name: str, sweep: Sweep) -> Table:
    """What was run: command, settings, versions, devices, hours."""
    begun = [run for run in sweep.runs if run.cell.results.get("versions")]
    results = [run.cell.results for run in begun]
    facts = [
        ("sweep", sweep.name if sweep.several else ""),
        ("command", sweep_command(sweep)),
        ("directory", str(sweep.directory)),
        ("cells", str(len(sweep.runs)) if sweep.several else ""),
        ("seeds", different_values(each.get("seed") for each in results)),
        ("generator updates planned", different_values(each.get("updates_planned") for each in results)),
        ("batch size", different_values(run.config.get("batch_size") for run in begun)),
        *((group, different_values(choice_in(group, each) for each in results)) for group in GROUPS),
        ("device", different_values(each.get("device") for each in results)),
        ("hours in total", f"{total_hours(sweep):.2f}"),
        ("versions", different_values(versions_text(each["versions"]) for each in results)),
        ("commit", different_values(each.get("git_commit") for each in results)),
    ]
    return Table(name, "What was run", ["", ""], [list(fact) for fact in facts if fact[1]])


def choice_in(group: str, results: dict[str, Any]) -> str:
    """The choice of a run in a config group; several as "a+b"."""
    choice = results.get("choices", {}).get(group, "")
    return "+".join(choice) or "none" if isinstance(choice, list) else choice


def different_values(values: Iterable[Any]) -> str:
    """Every different value that is not None; more than three successive whole numbers as "0 to
    9"."""
    values = list(dict.fromkeys(value for value in values if value is not None))
    if len(values) > 3 and all(isinstance(value, int) for value in values):
        values.sort()
        if all(after == before + 1 for before, after in pairwise(values)):
            return f"{values[0]} to {values[-1]}"
    return "; ".join(map(str, values))


def versions_text(versions: dict[str, str]) -> str:
    """The packages with their versions, "python 3.11.7, torch 2.11.0"."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def total_hours(sweep: Sweep) -> float:
    """The hours of training and evaluation of all cells together, failed ones too."""
    return sum(sum(run.cell.results.get("seconds", {}).values()) for run in sweep.runs) / 3600


def sweep_command(sweep: Sweep) -> str:
    """The command line of the sweep's last start; the empty string if its directory does not
    remember it."""
    saved = last_start(sweep.directory)
    settings = OmegaConf.select(saved, "hydra.overrides.task") or []
    words = [re.sub(r"^(sweep=\w+)/\w+$", r"\1", word) for word in settings if not word.startswith("axes=")]
    if not words:
        return ""
    multirun = [] if any(word.startswith("sweep=") for word in words) else ["--multirun"]
    return shell_command("train", *multirun, *own_config_flags(saved), *words, *words_about_hydra(sweep, saved))


def words_about_hydra(sweep: Sweep, saved: DictConfig) -> list[str]:
    """The words of a sweep's command that are settings of Hydra: the launcher, and the directory where
    it is another than that of the sweep's name."""
    typed = OmegaConf.select(saved, "hydra.overrides.hydra") or []
    words = [word for word in typed if not word.startswith(("hydra.mode=", "hydra.searchpath", "hydra.sweep.dir="))]
    usual = OmegaConf.select(saved, "hydra.runtime.choices.sweep") and not any("hydra.sweep.dir=" in w for w in typed)
    return words if usual else [*words, f"hydra.sweep.dir={as_override_value(str(sweep.directory))}"]


def mean_spectra(tables: Sequence[Sequence[dict[str, str]]]) -> dict[str, list[float]]:
    """The scaled squared singular values of every layer, averaged over seeds.

    Args:
        tables: the rows of `analysis/spectra.csv` of each seed.
    """
    values = defaultdict(lambda: defaultdict(list))
    for table in tables:
        for row in table:
            values[row["layer"]][int(row["index"])].append(float(row["scaled_square"]))
    return {layer: [summarize(found[index]).mean for index in sorted(found)] for layer, found in values.items()}
