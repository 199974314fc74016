"""FID of infinitely many samples."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from matplotlib.figure import Figure

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.build import build_protocol
from lit_gan.data import to_uint8
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, VERMILION
from lit_gan.metrics.real import RealFeatures
from lit_gan.metrics.reference import Pool, Reference, to_scoring_device
from lit_gan.metrics.scores import FrechetDistance
from lit_gan.ranges import AtLeastTwo, checked
from lit_gan.system.watching import watched


class FIDInfinity(Analysis):
    """FID extrapolated to infinitely many samples. Chong and Forsyth 2020.

    FID of n samples is too large by nearly c / n, where c depends on the generator, so that even at
    equal n the better of two may have the higher FID. Here FID is measured at several numbers of
    samples, each a random choice among all of them, and a line in 1 / n is fitted to it; where it
    meets 1 / n = 0 is the score. It may come out a little below 0. As in the code of Stein et al.
    2023, samples are of random latent vectors; Chong and Forsyth also draw these quasi-randomly.

    The features are those of the run's metrics, or of others, as in `metrics=dinov2`, and the real
    images those of its final protocol, whose own number leaves a bias that stays.

    Columns: samples ("inf" in the last row), fid, line (its value there).

    Args:
        samples: the largest number of samples.
        smallest: the smallest number of samples, 5,000 in the code of Stein et al. for 50,000; it
            must be above the number of features, for below it FID is no line.
        sizes: how many numbers of samples there are, evenly spaced, 15 in that code.
    """

    @checked
    def __init__(self, samples: AtLeastTwo = 10_000, smallest: AtLeastTwo = 5000, sizes: AtLeastTwo = 15):
        self.samples, self.smallest, self.sizes = samples, smallest, sizes

    def check(self, subject: Subject) -> None:
        """Refuses points and text, metrics without features, and too few samples.

        Raises:
            UserError: names which of them it is.
        """
        check_images("fid_infinity", subject)
        if subject.extractor is None:
            raise UserError(
                "analysis=fid_infinity compares features, and the metrics of this run have none: add "
                "metrics=efficientnet_lite0, or others that compare features."
            )
        pixels = torch.zeros(1, *subject.source.shape, dtype=torch.uint8)
        width = subject.extractor(pixels).pool.shape[1]
        if not width < self.smallest < self.samples:
            raise UserError(
                f"analysis.fid_infinity.smallest={self.smallest} must be above the {width} features and below "
                f"analysis.fid_infinity.samples={self.samples}: set both higher or lower."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws FID against 1 / n with the line."""
        protocol = build_protocol(subject.config, subject.config.metrics.final, "metrics.final")
        reference = RealFeatures(subject.extractor).reference(subject.source, protocol)
        numbers = np.linspace(self.smallest, self.samples, self.sizes).astype(int)
        values = fids(features(subject, self.samples), reference, numbers.tolist(), subject.seed)
        slope, limit = line(numbers, values)
        rows = [
            {"samples": n, "fid": value, "line": slope / n + limit}
            for n, value in [*zip(numbers.tolist(), values, strict=True), (math.inf, limit)]
        ]
        words = f"{subject.extractor.prefix(subject.source)} FID"
        found = f"{words} of {self.samples} samples {values[-1]:.4g}, of infinitely many {limit:.4g}"
        return Finding(found, rows, extrapolation_figure(rows, words))


def features(subject: Subject, n: int) -> Pool:
    """What the extractor sees in G's first n samples, on the device where scores are computed."""
    sampler, seen = subject.sampler(), []
    for part in watched(torch.arange(n).split(subject.batch_size), -(-n // subject.batch_size), "looking at samples"):
        seen.append(to_scoring_device(subject.extractor(to_uint8(sampler(len(part)))).pool))
    return torch.cat(seen)


def fids(pool: Pool, reference: Reference, numbers: list[int], seed: int) -> list[float]:
    """FID of random choices of so many features each."""
    generator, values = torch.Generator().manual_seed(seed), []
    for n in watched(numbers, len(numbers), "measuring FID"):
        distance = FrechetDistance(reference).to(pool.device)
        distance.update(pool[torch.randperm(len(pool), generator=generator)[:n].to(pool.device)])
        values.append(distance.compute().item())
        distance.reset()  # frees its sums, which a cycle of references would keep
    return values


def line(numbers: Int[np.ndarray, " k"], values: Sequence[float]) -> tuple[float, float]:
    """The c and the limit of the values c / n + limit that are nearest to those at numbers n, by
    least squares."""
    slope, limit = np.polyfit(1 / numbers, values, 1)
    return float(slope), float(limit)


def extrapolation_figure(rows: list[dict[str, float]], words: str) -> Figure:
    """A figure of the measured values, of the line, and of where that ends."""
    plot = titled_figure(6, 4, f"{words} against the number of samples")
    axes = plot.subplots()
    places = [1000 / row["samples"] for row in rows]
    axes.plot(places[:-1], [row["fid"] for row in rows[:-1]], "o", color=BLUE, label="measured")
    axes.plot(places, [row["line"] for row in rows], "-", color=BLUE, linewidth=1)
    axes.plot(0, rows[-1]["fid"], "s", color=VERMILION, label="infinitely many samples")
    axes.set(xlabel="1000 / number of samples", ylabel=words, xlim=(-0.02 * max(places), None))
    axes.legend()
    return plot
