"""What a truncation makes of the scores."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.figures import DPI
from lit_gan.analysis.subject import Subject
from lit_gan.build import build_protocol
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, label_score, panel_grid, score_name
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.parts import build_part
from lit_gan.ranges import Allowed, AtLeastTwo, BatchStatistics, Range, checked, require
from lit_gan.records.score_names import short_name
from lit_gan.sampling import require_truncatable
from lit_gan.system.watching import watched

TRADES = (("is", "fid"), ("recall", "precision"))
"""Pairs of scores of variety and fidelity that are drawn against each other, where there are both."""
NONE = "none"
"""What the table has for a truncation of no sample."""


class Truncation(Analysis):
    """The scores of the run's metrics against the truncation of the latent vectors, or of StyleGAN2's
    styles. Brock et al. 2019, section 3.1.

    Truncated latent vectors give finer and less varied samples: as the limit narrows, IS rises and
    recall falls, and FID, which counts both, is best somewhere between. Not every generator is
    amenable to it. The limits are those of `lit_gan.sample truncation=`, the last point is of latent
    vectors as they were trained on.

    G's batch normalisation has the mean statistics of batches drawn under each limit
    (`batch_norm=standing`), as Brock et al. recompute them; so its last point is near the run's own
    scores and not equal to them. All points have the same number of samples and the same real
    images, those of the run's final protocol.

    Columns: truncation ("none" in the last row), and one for each score of the run's metrics.

    Args:
        limits: the truncations, in the order of the table.
        samples: number of samples at each of them, for every score.
        batch_norm: "standing", "running" or "batch", see `lit_gan.ranges.BatchStatistics`.

    Raises:
        UserError: no limit, or one that is not above 0.
    """

    @checked
    def __init__(
        self,
        limits: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0),
        samples: AtLeastTwo = 10_000,
        batch_norm: BatchStatistics = "standing",
    ):
        for limit in limits or [None]:
            require("analysis.truncation.limits", limit, Allowed.by(Annotated[float, Range(above=0)]))
        self.limits, self.samples, self.batch_norm = [*limits, None], samples, batch_norm

    def check(self, subject: Subject) -> None:
        """Refuses a run without metrics, and a generator without anything that can be truncated.

        Raises:
            UserError: names which of them it is.
        """
        if subject.config.metrics.suite is None:
            raise UserError(
                "analysis=truncation compares scores, and the metrics of this run have none: add "
                "metrics=efficientnet_lite0 or others for images, or metrics=modes for points."
            )
        require_truncatable(subject.G, self.limits[0])

    def find(self, subject: Subject) -> Finding:
        """Draws fidelity against variety, and each score against the limit."""
        suite: Suite = build_part(subject.config.metrics.suite)
        suite.prepare(subject.source, subject.device)
        records = [
            measure(subject.gan, suite, subject.source, self.protocol(subject, limit), 0, "")
            for limit in watched(self.limits, len(self.limits), "truncating")
        ]
        rows = [
            {"truncation": NONE if limit is None else limit} | short_names(record["scores"])
            for limit, record in zip(self.limits, records, strict=True)
        ]
        ends, caveats = (short_names(records[0][key]) for key in ("ends", "caveats"))
        monitor = subject.config.metrics.monitor
        found = best_row(rows, monitor, ends[monitor], suite.prefix(subject.source))
        notes = "".join(f"; {score_name(name)}: {reason}" for name, reason in caveats.items())
        return Finding(found + notes, rows, truncation_figure(rows, ends, caveats, suite.prefix(subject.source)))

    def protocol(self, subject: Subject, limit: float | None) -> EvalProtocol:
        """The run's final protocol under a limit, with the subject's seed and choice of weights."""
        protocol = build_protocol(subject.config, subject.config.metrics.final, "metrics.final").with_generated(
            self.samples
        )
        own = {"truncation": limit, "batch_norm": self.batch_norm, "seed": subject.seed, "ema": subject.ema}
        return replace(protocol, **own)


def short_names(values: dict[str, Any]) -> dict[str, Any]:
    """What is said of scores, by the part of their names behind the slash."""
    return {short_name(name): value for name, value in values.items()}


def best_row(rows: list[dict[str, Any]], score: str, end: str, prefix: str) -> str:
    """A sentence about the best limit for a score."""
    best = {"min": min, "max": max}[end](rows, key=lambda row: row[score])
    words = f"{prefix} {score_name(score)}"
    plain = f"{rows[-1][score]:.4g} without truncation"
    if best is rows[-1]:
        return f"{words} is best, {plain}"
    return f"{words} is best at truncation {best['truncation']}, {best[score]:.4g} ({plain})"


def truncation_figure(rows: list[dict[str, Any]], ends: dict[str, str], caveats: dict[str, str], prefix: str) -> Figure:
    """A figure with a panel for each trade and for each score."""
    names = [name for name in rows[0] if name in ends]
    trades = [pair for pair in TRADES if set(pair) <= set(names)]
    count = len(trades) + len(names)
    columns = math.ceil(math.sqrt(count))
    figure, grid = panel_grid(count, columns, height=2.5, extra=0.5, width=3 * columns, dpi=DPI)
    figure.suptitle(f"Scores under truncation, {prefix} features", fontsize="large")
    for axes, pair in zip(grid, trades, strict=False):
        draw_trade(axes, rows, pair, ends, caveats)
    for axes, name in zip(grid[len(trades) :], names, strict=True):
        values = [row[name] for row in rows]
        axes.plot(range(len(rows)), values, "o-", color=BLUE, markersize=4)
        axes.set_xticks(range(len(rows)), [str(row["truncation"]) for row in rows], fontsize="small")
        axes.set_xlabel("truncation")
        axes.grid(alpha=0.3)
        label_score(axes, name, ends[name], values, zero=False, caveat=caveats.get(name))
    figure.supxlabel("\n".join(f"* {score_name(name)}: {why}" for name, why in caveats.items()), fontsize="small")
    return figure


def draw_trade(
    axes: Axes, rows: list[dict[str, Any]], pair: tuple[str, str], ends: dict[str, str], caveats: dict[str, str]
) -> None:
    """Draws one score against another, each point with its limit."""
    across, up = ([row[name] for row in rows] for name in pair)
    axes.plot(across, up, "o-", color=BLUE, markersize=4)
    named: list[list[float]] = []
    for row, *place in zip(rows, across, up, strict=True):
        if far_from(place, named, (across, up)):
            axes.annotate(str(row["truncation"]), place, (4, 4), textcoords="offset points", fontsize="x-small")
            named.append(place)
    axes.set_xlabel(score_name(pair[0], caveats.get(pair[0])) + {"min": " ↓", "max": " ↑"}[ends[pair[0]]])
    axes.grid(alpha=0.3)
    axes.margins(0.12)
    label_score(axes, pair[1], ends[pair[1]], up, zero=False, caveat=caveats.get(pair[1]))


def far_from(place: list[float], others: list[list[float]], axes: tuple[list[float], list[float]]) -> bool:
    """Whether a point has room for its name beside the names of others, a tenth of each axis."""
    width, height = (max(values) - min(values) or 1 for values in axes)
    return all(abs(place[0] - x) > 0.1 * width or abs(place[1] - y) > 0.1 * height for x, y in others)
