"""The comparison of methods by one score in one panel: our values over x and hue, and the
paper's."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lit_gan.figures.style import score_name
from lit_gan.records.score_names import ADVICE
from lit_gan.reporting.collect import PanelKey, Score, Sweep
from lit_gan.reporting.papers import PaperScore, most_alike
from lit_gan.reporting.statistics import Difference, Summary, best, difference, ranks, summarize

Place = tuple[str, str]
"""A value of x and a value of hue."""


@dataclass(frozen=True)
class Comparison:
    """What is drawn in one panel and stands in one table.

    Attributes:
        title: says on which data, by which extractor and protocol the score was measured.
        score: its name, "fid".
        end: which end of it is the good one, "min" or "max"; None if nobody knows.
        values: the finite scores of all seeds at each place.
        failed_counts: how many cells at each place failed, or have a score that is not finite.
        paper: the paper's numbers of this score, all measured in one way.
        conditions: our data, extractor and protocol; None where there are none, as for seconds.
        caveat: why our values cannot bear comparison with others; None if they can.
        others: coordinates of its cells on axes that are neither x, hue nor seed, "model=dcgan".
    """

    sweep: Sweep
    title: str
    score: str
    end: str | None
    values: dict[Place, list[float]]
    failed_counts: Counter[Place]
    paper: list[PaperScore]
    conditions: tuple[str, str, str] | None = None
    caveat: str | None = None
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the score in tables, with a star if there is a caveat, which `note`
        explains."""
        return score_name(self.score, self.caveat)

    @property
    def note(self) -> str:
        """The caveat as a sentence; the empty string if there is none."""
        return caveat_note(self.caveat)

    @cached_property
    def summaries(self) -> dict[Place, Summary]:
        """Mean and standard deviation over seeds at each place."""
        return {place: summarize(values) for place, values in self.values.items() if values}

    def over_x(self, hue: str) -> dict[str, Summary]:
        """The summaries of a hue at each x."""
        return {x: self.summaries[x, hue] for x in self.sweep.xs if (x, hue) in self.summaries}

    def most_reliable(self, hue: str) -> dict[str, Summary]:
        """The summaries of a hue at those x where the fewest of its seeds failed."""
        found = self.over_x(hue)
        fewest = min((self.failed_counts[x, hue] for x in found), default=0)
        return {x: each for x, each in found.items() if self.failed_counts[x, hue] == fewest}

    @cached_property
    def all_failed(self) -> list[str]:
        """The hues of which every cell has failed."""
        scored, failed = ({hue for _, hue in places} for places in (self.summaries, self.failed_counts))
        return [hue for hue in self.sweep.hues if hue in failed - scored]

    @cached_property
    def settings(self) -> dict[str, str]:
        """The best x of every hue that has a score, among those where the fewest of its seeds
        failed."""
        if self.end is None:
            return {}
        found = {hue: best(self.most_reliable(hue), self.end) for hue in self.sweep.hues}
        return {hue: x for hue, x in found.items() if x is not None}

    @cached_property
    def bests(self) -> dict[str, Summary]:
        """The summary of every hue at its best x, the best hue first."""
        found = {hue: self.summaries[x, hue] for hue, x in self.settings.items()}
        order = ranks({hue: each.mean for hue, each in found.items()}, self.end or "min")
        return {hue: found[hue] for hue in sorted(found, key=order.__getitem__)}

    @property
    def paper_agrees(self) -> bool:
        """Whether the paper's numbers are of the same data, extractor and protocol."""
        return bool(self.paper) and self.paper[0].conditions == self.conditions

    def paper_at(self, x: str | None, hue: str) -> PaperScore | None:
        """The paper's number at a place; with None for x, the one of the hue that names no x."""
        view = self.sweep.view
        return next((each for each in self.paper if each.at(view.hue) == hue and each.at(view.x) == x), None)

    @cached_property
    def paper_bests(self) -> dict[str, PaperScore]:
        """The paper's number of each hue: the one that names no x, or else the best over x."""
        found = {hue: self.paper_at(None, hue) or self.best_on_paper(hue) for hue in self.sweep.hues}
        return {hue: number for hue, number in found.items() if number}

    def best_on_paper(self, hue: str) -> PaperScore | None:
        """The best of the paper's numbers of a hue over x."""
        numbers = [each for x in self.sweep.xs if (each := self.paper_at(x, hue))]
        choose = max if self.end == "max" else min
        return choose(numbers, key=lambda number: number.value, default=None)

    def beside_paper(self, hues: Iterable[str]) -> tuple[list[float], list[float]]:
        """Our mean of each of these hues at its best x, and the paper's number."""
        pairs = [(self.bests[hue].mean, self.paper_bests[hue].value) for hue in hues]
        return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]

    def redrawn(self, hues: Sequence[str], draws: int) -> np.ndarray | None:
        """The means of these hues at their best x, had other seeds been drawn: a bootstrap.

        The seeds of each place are drawn with replacement, and x is chosen anew in each draw. Of n
        seeds that varies by sqrt((n - 1) / n) of what n new ones would.

        Returns:
            Shape (draws, hues); None if one of the best places has one seed, whose noise nobody
            knows.
        """
        if any(self.bests[hue].n < 2 for hue in hues):
            return None
        generator, choose = np.random.default_rng(0), np.max if self.end == "max" else np.min

        def drawn(hue: str) -> np.ndarray:
            seeds = [self.values[x, hue] for x in self.most_reliable(hue)]
            return choose([generator.choice(values, (draws, len(values))).mean(1) for values in seeds], axis=0)

        return np.stack([drawn(hue) for hue in hues], axis=1)

    def differences(self) -> Iterator[tuple[str, str, Difference]]:
        """Every pair of hues at their best x, the better one first, with the difference of their
        means."""
        hues = list(self.bests)
        for index, first in enumerate(hues):
            for second in hues[index + 1 :]:
                yield first, second, difference(self.bests[first], self.bests[second])


def compare(sweep: Sweep, paper: list[PaperScore]) -> list[Comparison]:
    """The comparisons of the final scores: one for each score in each panel."""
    return [
        compare_score(sweep, panel, name, [score for score in scores if score.name == name], paper)
        for panel, scores in by_panel(sweep.finals).items()
        for name in sweep.visible_scores(scores)
    ]


def by_panel(scores: Iterable[Score]) -> dict[PanelKey, list[Score]]:
    """The scores, grouped by panel."""
    panels = defaultdict(list)
    for score in scores:
        panels[score.panel].append(score)
    return panels


def compare_score(sweep: Sweep, panel: PanelKey, name: str, scores: list[Score], paper: list[PaperScore]) -> Comparison:
    """The comparison of one score in one panel."""
    values, failed = defaultdict(list), Counter(map(sweep.x_and_hue, sweep.failed_runs(panel)))
    for score in scores:
        if score.value is None:
            failed[sweep.x_and_hue(score.run)] += 1
        else:
            values[sweep.x_and_hue(score.run)].append(score.value)
    title, end = panel_titles(by_panel(sweep.finals))[panel], good_end(scores)
    numbers = most_alike([number for number in paper if number.score == name], panel.conditions)
    conditions, caveat = panel.conditions, caveat_of(scores) or unequal_lengths(sweep, scores)
    return Comparison(sweep, title, name, end, values, failed, numbers, conditions, caveat, panel.others)


def caveat_of(scores: Iterable[Score]) -> str | None:
    """Why scores of one panel, which agree in their protocol, cannot bear comparison; None if they
    can."""
    return next((score.caveat for score in scores if score.caveat), None)


def unequal_lengths(sweep: Sweep, scores: Iterable[Score]) -> str | None:
    """Why scores cannot bear comparison whose seeds were measured after different updates; None if those
    of each place were measured after the same."""
    updates = defaultdict(set)
    for score in scores:
        updates[sweep.x_and_hue(score.run)].add(score.update)
    unequal = next((sorted(found) for found in updates.values() if len(found) > 1), None)
    return unequal and f"seeds of one setting were scored at updates {' and '.join(map(str, unequal))}"


def caveat_note(caveat: str | None) -> str:
    """A caveat as a sentence; the empty string where there is none."""
    return f" (* {caveat}; {ADVICE}.)" if caveat else ""


def panel_titles(panels: Iterable[PanelKey]) -> dict[PanelKey, str]:
    """The title of each panel; two that would have the same one say in which facts they differ."""
    panels = list(panels)
    same = {panel: [other for other in panels if other.title == panel.title] for panel in panels}
    return {panel: ", ".join([panel.title, *differing_facts(panel, same[panel])]) for panel in panels}


def differing_facts(panel: PanelKey, others: list[PanelKey]) -> list[str]:
    """The facts of a panel that any of the others does not share, "batch_size=64"."""
    return [
        f"{name}={value}"
        for name, value in panel.facts.items()
        if any(other.facts.get(name) != value for other in others)
    ]


def good_end(scores: Iterable[Score]) -> str | None:
    """Which end of scores of one name is the good one, "min" or "max"; None if no record says it, as
    those of early versions do not."""
    return next((score.end for score in scores if score.end), None)


def compare_speed(sweep: Sweep, paper: list[PaperScore]) -> list[Comparison]:
    """The seconds that 100 generator updates take without evaluations.

    One comparison for each device and combination of other coordinates.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for run in sweep.runs:
        if rate := run.cell.results.get("updates_per_second"):
            where = run.cell.results.get("device") or "unknown device", sweep.other_axes(run)
            groups[where][sweep.x_and_hue(run)].append(100 / rate)
    numbers = [number for number in paper if number.score == "seconds"]
    return [
        Comparison(sweep, ", ".join([device, *others]), "seconds", None, values, Counter(), numbers, others=others)
        for (device, others), values in groups.items()
    ]
