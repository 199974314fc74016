"""Means, ranks, and which differences are larger than those between seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

LEVEL = 0.05
"""The share of pairs of equal methods that the rule below takes for different ones."""
RULE = (
    "Two methods differ if |difference of means| > t x pooled standard error over seeds, with t the two-sided 5 % "
    "point of Student's distribution with n1 + n2 - 2 degrees of freedom. It is not corrected for the number of pairs, "
    "nor for the choice of each method's best setting on the same seeds. With one seed, "
    "or seeds that all agree, it is unknown."
)
"""The rule of `difference` as readers of a report are told it."""


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1 in the denominator; None for one value) of n values."""

    mean: float
    std: float | None
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """The summary of one value or more."""
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Difference:
    """The difference of two means.

    Attributes:
        value: the first minus the second.
        threshold: what |value| must exceed; None if it cannot be known.
    """

    value: float
    threshold: float | None

    @property
    def verdict(self) -> str:
        """Whether it is "larger" than the noise of the seeds, "within" it or "unknown"."""
        if self.threshold is None:
            return "unknown"
        return "larger" if abs(self.value) > self.threshold else "within"


def difference(first: Summary, second: Summary) -> Difference:
    """Two means against the seed noise of both: Student's t test with pooled variance."""
    value, freedom = first.mean - second.mean, first.n + second.n - 2
    if first.std is None or second.std is None:
        return Difference(value, None)
    pooled = math.sqrt(((first.n - 1) * first.std**2 + (second.n - 1) * second.std**2) / freedom)
    if pooled == 0:
        return Difference(value, None)
    error = pooled * math.sqrt(1 / first.n + 1 / second.n)
    return Difference(value, float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error)


def best(values: Mapping[str, Summary], end: str) -> str | None:
    """The key with the smallest ("min") or largest ("max") mean; None where there are no keys."""
    return (min if end == "min" else max)(values, key=lambda key: values[key].mean, default=None)


def ranks(values: Mapping[str, float], end: str) -> dict[str, float]:
    """The rank of each key, 1 for the best value; equal values share the mean of their ranks."""
    signed = [value if end == "min" else -value for value in values.values()]
    return dict(zip(values, map(float, stats.rankdata(signed)), strict=True))


def rank_correlation(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float | None, int]:
    """Spearman's rank correlation over the keys in both, and their number; None for fewer than 3 or
    equal values."""
    common = [key for key in first if key in second]
    a, b = [first[key] for key in common], [second[key] for key in common]
    if len(common) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return None, len(common)
    return float(stats.spearmanr(a, b).statistic), len(common)
