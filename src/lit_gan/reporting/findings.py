"""The tables of a report."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.records.files import read_yaml
from lit_gan.reporting.collect import Panel, Run, Sweep
from lit_gan.reporting.comparison import Comparison, place_of
from lit_gan.reporting.papers import PaperScore
from lit_gan.reporting.statistics import Difference, rank_correlation, ranks, summary
from lit_gan.reporting.tables import NONE, Table, duration, number, written
from lit_gan.system.shell import shell_command

LINES_SHOWN = 6
"""Of a cell's text."""


def score_table(name: str, comparison: Comparison) -> Table:
    """A row for each hue: mean ± standard deviation over seeds at each x and at the best one, and the paper's."""
    sweep = comparison.sweep
    several = len(sweep.xs) > 1
    columns = [sweep.axis(sweep.view.hue), *([sweep.x(x) for x in sweep.xs] if several else ["ours"])]
    columns += ["best", "best setting"] * (several and bool(comparison.settings))
    columns += ["seeds"] + ["paper", "paper's row"] * bool(comparison.paper)
    rows = [score_row(comparison, hue, columns) for hue in sweep.hues]
    rows += [
        [*[NONE] * (len(columns) - 2), printed(each), f"{each.label} ({each.source})"] for each in strangers(comparison)
    ]
    return Table(name, f"{comparison.name}: {comparison.title}{paper_note(comparison)}{comparison.note}", columns, rows)


def paper_note(comparison: Comparison) -> str:
    """How the paper's numbers were measured, if not as ours."""
    if not comparison.paper or comparison.paper_agrees:
        return ""
    return f" (The {comparison.paper[0].title}: not to be compared number by number.)"


def score_row(comparison: Comparison, hue: str, columns: Sequence[str]) -> list[str]:
    """The row of one hue."""
    sweep, best = comparison.sweep, comparison.bests.get(hue)
    row = [sweep.hue(hue), *(entry(comparison, x, hue) for x in sweep.xs)]
    if "best setting" in columns:
        x = comparison.settings.get(hue)
        row += [entry(comparison, x, hue), sweep.x(x)] if best else [NONE, NONE]
    counts = sorted({len(comparison.values.get((x, hue), [])) for x in sweep.xs})
    row.append("-".join(map(str, dict.fromkeys((counts[0], counts[-1])))))
    if "paper" in columns:
        paper = comparison.paper_bests.get(hue)
        row += [printed(paper), f"{paper.label} ({paper.source})"] if paper else [NONE, NONE]
    return row


def entry(comparison: Comparison, x: str, hue: str) -> str:
    """A cell of the table: what was measured, and what failed."""
    found, fallen = comparison.summaries.get((x, hue)), comparison.fallen[x, hue]
    if not found:
        return "failed" if fallen else NONE
    return written(found) + (f" ({fallen} failed)" if fallen else "")


def printed(paper: PaperScore | None) -> str:
    """The paper's number as it stands there."""
    if paper is None:
        return NONE
    return f"{paper.value:g}" if paper.std is None else f"{paper.value:g} ± {paper.std:g}"


def strangers(comparison: Comparison) -> list[PaperScore]:
    """The paper's rows that no cell is about."""
    hue = comparison.sweep.view.hue
    return [each for each in comparison.paper if each.at(hue) not in comparison.sweep.hues]


def ranking_table(name: str, comparison: Comparison) -> Table:
    """The hues by their best score, and the paper's ranks of the same hues."""
    sweep, bests, paper = comparison.sweep, comparison.bests, comparison.paper_bests
    ours = ranks({hue: each.mean for hue, each in bests.items()}, comparison.end)
    theirs = ranks({hue: paper[hue].value for hue in bests if hue in paper}, comparison.end)
    rows = [
        [
            f"{ours[hue]:g}",
            sweep.hue(hue),
            entry(comparison, comparison.settings[hue], hue),
            sweep.x(comparison.settings[hue]) or NONE,
            str(best.n),
            printed(paper.get(hue)),
            f"{theirs[hue]:g}" if hue in theirs else NONE,
        ]
        for hue, best in bests.items()
    ]
    rows += [[NONE, sweep.hue(hue), "failed", NONE, "0", printed(paper.get(hue)), NONE] for hue in comparison.lost]
    columns = ["rank", sweep.axis(sweep.view.hue), comparison.name, "best setting", "seeds"]
    columns += ["paper", "paper's rank"]
    title = f"Ranking by {comparison.name}: {comparison.title}. {correlation(comparison)}"
    return Table(name, title + paper_note(comparison) + comparison.note, columns, rows)


def correlation(comparison: Comparison) -> str:
    """Spearman's rank correlation with the paper, as a sentence."""
    ours = {hue: each.mean for hue, each in comparison.bests.items()}
    theirs = {hue: each.value for hue, each in comparison.paper_bests.items()}
    if not theirs:
        return "No numbers of a paper to compare with."
    value, n = rank_correlation(ours, theirs)
    if value is None:
        return f"Rank correlation with the paper: needs at least 3 methods with different scores, and there are {n}."
    lost = [comparison.sweep.hue(hue) for hue in comparison.lost]
    without = f", without {', '.join(lost)}, of which every cell failed" if lost else ""
    return f"Spearman's rank correlation with the paper: {value:.2f} over {n} methods{without}."


def difference_table(name: str, comparison: Comparison) -> Table:
    """Whether each pair of hues, at their best settings, differs by more than seed noise."""
    sweep, hues = comparison.sweep, list(comparison.bests)
    found = {(first, second): each for first, second, each in comparison.differences()}
    rows = [[sweep.hue(first), *(decided(found.get((first, second))) for second in hues[1:])] for first in hues[:-1]]
    title = f"{comparison.name}, difference and what it must exceed: {comparison.title}{comparison.note}"
    return Table(name, title, ["better than", *(sweep.hue(hue) for hue in hues[1:])], rows)


def decided(found: Difference | None) -> str:
    """ "yes: 12.3 > 4.5", "no: 1.2 < 4.5" or "unknown: 12.3"."""
    if found is None:
        return ""
    size = number(abs(found.value))
    if found.threshold is None:
        return f"unknown: {size}"
    return (
        f"yes: {size} > {number(found.threshold)}"
        if found.verdict == "larger"
        else (f"no: {size} < {number(found.threshold)}")
    )


def best_and_last(run: Run) -> tuple[str, dict, dict] | None:
    """The metric that chose the best checkpoint, the best record and the last one of the same protocol, if any."""
    best, course = run.cell.results.get("best"), run.cell.results.get("course", [])
    if not best or not course or best.get("protocol") != course[-1]["protocol"]:
        return None
    value = course[-1]["scores"].get(best["metric"])
    return None if value is None else (best["metric"], best, course[-1])


def ends_in_nothing(run: Run) -> bool:
    """Whether the last evaluation of a run that had a best one is not finite."""
    results = run.cell.results
    best, course = results.get("best"), results.get("course", [])
    return bool(best and course) and course[-1]["scores"].get(best["metric"], 0) is None


def best_last_table(name: str, sweep: Sweep, title: str, runs: Sequence[Run]) -> Table:
    """A row for each place: the score at the best and at the last evaluation, over seeds."""
    places = defaultdict(list)
    for run in runs:
        metric, best, last = best_and_last(run)
        places[place_of(sweep, run)].append((best["value"], last["scores"][metric], best["update"], last["update"]))
    rows = []
    for (x, hue), found in sorted(places.items(), key=lambda item: order(sweep, item[0])):
        best, last, at, end = (summary(values) for values in zip(*found, strict=True))
        factor = f"{last.mean / best.mean:.2f}" if best.mean else NONE
        where = [sweep.hue(hue), sweep.x(x)] if sweep.view.x else [sweep.hue(hue)]
        rows.append([*where, written(best), f"{at.mean:.0f}", written(last), f"{end.mean:.0f}", factor, str(best.n)])
    axes = [sweep.axis(sweep.view.hue), *([sweep.axis(sweep.view.x)] if sweep.view.x else [])]
    columns = [*axes, "best", "at update (mean)", "last", "at update (mean)", "last / best", "seeds"]
    return Table(name, title, columns, rows)


def order(sweep: Sweep, place: tuple[str, str]) -> tuple[int, int]:
    """Where a place stands in tables: by hue, then by x."""
    return sweep.hues.index(place[1]), sweep.xs.index(place[0])


def cost_table(name: str, sweep: Sweep) -> Table:
    """What each hue has cost on each device, over all its cells."""
    costs = defaultdict(list)
    for run in sweep.runs:
        if seconds := run.cell.results.get("seconds"):
            costs[run.at(sweep.view.hue), run.cell.results.get("device") or "unknown"].append((run, seconds))
    rows = [cost_row(sweep, hue, device, found) for (hue, device), found in costs.items()]
    columns = [sweep.axis(sweep.view.hue), "device", "cells", "seconds per 100 updates", "training per cell"]
    columns += ["evaluation per cell", "all cells together"]
    return Table(name, "Time of all cells that have begun (mean ± standard deviation over cells)", columns, rows)


def cost_row(sweep: Sweep, hue: str, device: str, found: Sequence[tuple[Run, dict]]) -> list[str]:
    """The row of one hue on one device."""
    rates = [100 / rate for run, _ in found if (rate := run.cell.results.get("updates_per_second"))]
    training, evaluation = (summary([seconds[part] for _, seconds in found]) for part in ("training", "evaluation"))
    total = sum(seconds["training"] + seconds["evaluation"] for _, seconds in found)
    speed = written(summary(rates)) if rates else NONE
    each = [duration(training.mean), duration(evaluation.mean), duration(total)]
    return [sweep.hue(hue), device, str(len(found)), speed, *each]


def unfinished_table(name: str, sweep: Sweep) -> Table:
    """The cells that are not finished, with the update they came to and the reason."""
    rows = []
    for run in sweep.runs:
        if not run.complete:
            results = run.cell.results
            planned = f" of {results['updates_planned']}" if results.get("updates_planned") else ""
            at = f"{results['updates']}{planned}" if "updates" in results else ""
            rows.append([run.cell.name, run.cell.state, at, results.get("error") or ""])
    return Table(name, "Cells without a final score", ["cell", "state", "update", "reason"], rows)


def warned_table(name: str, sweep: Sweep) -> Table:
    """A row for each warning of a finished cell."""
    finished = [run for run in sweep.runs if run.complete]
    rows = [[run.cell.name, sentence] for run in finished for sentence in run.cell.results.get("warnings", [])]
    return Table(name, "Warnings of finished cells", ["cell", "warning"], rows)


def last_samples(run: Run, ending: str) -> Path | None:
    """The samples of the highest update, `samples/<update>.<ending>`."""
    paths = [path for path in run.cell.directory.glob(f"samples/*.{ending}") if path.stem.isdecimal()]
    return max(paths, key=lambda path: int(path.stem), default=None)


def text_table(name: str, sweep: Sweep) -> Table:
    """The first lines of the last text of every cell that writes text."""
    rows = []
    for run in sweep.runs:
        if path := last_samples(run, "txt"):
            lines = path.read_text(encoding="utf-8").splitlines()
            rows.append([run.cell.name, "\n".join(lines[:LINES_SHOWN])])
    return Table(name, f"The first {LINES_SHOWN} texts of each cell", ["cell", "texts"], rows)


def cell_table(name: str, sweep: Sweep, titles: dict[Panel, str]) -> Table:
    """Every final score of every cell."""
    rows = [
        [score.run.cell.name, titles[score.panel], score.name, number(score.value), str(score.update)]
        for score in sweep.finals
    ]
    return Table(name, "Every final score of every cell", ["cell", "measured", "score", "value", "update"], rows)


def protocol_table(name: str, titles: dict[Panel, str]) -> Table:
    """How the final scores were measured, in full: a column for each panel."""
    facts = list(dict.fromkeys(fact for panel in titles for fact in panel.facts))
    protocols = list({panel.protocol: panel for panel in titles}.values())
    rows = [[fact, *(str(panel.facts.get(fact, NONE)) for panel in protocols)] for fact in facts]
    columns = ["", *(", ".join(filter(None, panel.source)) for panel in protocols)]
    return Table(name, "How the final scores were measured", columns, rows)


def run_table(name: str, sweep: Sweep) -> Table:
    """What was run: command, settings, versions, devices, hours."""
    begun = [run for run in sweep.runs if run.cell.results.get("versions")]
    facts = [
        ("sweep", sweep.name),
        ("command", command(sweep)),
        ("directory", str(sweep.directory)),
        ("cells", str(len(sweep.runs))),
        ("seeds", each(begun, lambda run: run.cell.results.get("seed"))),
        ("generator updates planned", each(begun, lambda run: run.cell.results.get("updates_planned"))),
        ("batch size", each(begun, lambda run: run.config.get("batch_size"))),
        *((group, each(begun, chosen(group))) for group in ("data", "model", "loss", "reg", "optim", "metrics")),
        ("device", each(begun, lambda run: run.cell.results.get("device"))),
        ("hours in total", f"{hours(sweep):.2f}"),
        ("versions", each(begun, lambda run: versions(run.cell.results["versions"]))),
        ("commit", each(begun, lambda run: run.cell.results.get("git_commit"))),
    ]
    return Table(name, "What was run", ["", ""], [list(fact) for fact in facts if fact[1]])


def chosen(group: str) -> Callable[[Run], str]:
    """What a run chose in a config group."""

    def choice(run: Run) -> str:
        value = run.cell.results.get("choices", {}).get(group, "")
        return "+".join(value) or "none" if isinstance(value, list) else value

    return choice


def each(runs: Sequence[Run], fact: Callable[[Run], Any]) -> str:
    """Every different value of a fact; a row of whole numbers as "0 to 9"."""
    values = list(dict.fromkeys(value for run in runs if (value := fact(run)) is not None))
    if len(values) > 3 and all(isinstance(value, int) for value in values):
        values.sort()
        if all(after == before + 1 for before, after in pairwise(values)):
            return f"{values[0]} to {values[-1]}"
    return "; ".join(map(str, values))


def versions(names: dict[str, str]) -> str:
    """ "python 3.11.7, torch 2.11.0"."""
    return ", ".join(f"{name} {version}" for name, version in names.items())


def hours(sweep: Sweep) -> float:
    """All cells' training and evaluation together, failed ones too."""
    return sum(sum(run.cell.results.get("seconds", {}).values()) for run in sweep.runs) / 3600


def command(sweep: Sweep) -> str:
    """The command line of the sweep's last start, as far as its directory remembers it."""
    path = sweep.directory / "multirun.yaml"
    saved = read_yaml(path, DictConfig) if path.exists() else OmegaConf.create()
    settings = OmegaConf.select(saved, "hydra.overrides.task") or []
    words = [re.sub(r"^(sweep=\w+)/\w+$", r"\1", word) for word in settings if not word.startswith("axes=")]
    if not words:
        return ""
    multirun = [] if any(word.startswith("sweep=") for word in words) else ["--multirun"]
    return shell_command("train", *multirun, *own_configs(saved), *words)


def own_configs(saved: DictConfig) -> list[str]:
    """The words of a sweep's last start that named configs outside the package."""
    sources = OmegaConf.select(saved, "hydra.runtime.config_sources") or []
    folders = [source.path for source in sources if source.provider == "command-line"]
    searched = [word for word in OmegaConf.select(saved, "hydra.overrides.hydra") or [] if "searchpath" in word]
    return [*(word for folder in folders for word in ("--config-dir", folder)), *searched]


def mean_spectra(rows: Sequence[Sequence[dict[str, str]]]) -> dict[str, list[float]]:
    """The mean over seeds of the scaled squared singular values of every layer."""
    values = defaultdict(lambda: defaultdict(list))
    for table in rows:
        for row in table:
            values[row["layer"]][int(row["index"])].append(float(row["scaled_square"]))
    return {layer: [summary(found[index]).mean for index in sorted(found)] for layer, found in values.items()}


def at_best_setting(comparison: Comparison | None, run: Run) -> bool:
    """Whether a run stands at the best x of its hue; every run does where no best is known."""
    if comparison is None or not comparison.settings:
        return True
    x, hue = place_of(comparison.sweep, run)
    return comparison.settings.get(hue) == x
