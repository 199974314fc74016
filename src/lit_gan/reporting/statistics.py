"""Means, ranks, and which differences are larger than those between seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
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


class Correlations(NamedTuple):
    """How alike two rankings are, from -1 to 1 if one is the other backwards: a number each, or an
    array of one for each of many rankings."""

    spearman: np.ndarray
    kendall: np.ndarray


def rank_correlations(values: np.ndarray, reference: np.ndarray) -> Correlations:
    """Spearman's and Kendall's rank correlation of rows of scores with one reference.

    Args:
        values: scores, of shape (..., methods).
        reference: one score for each method.

    Returns:
        Spearman's rho, the correlation of the ranks, and Kendall's tau-b, that of the signs of all
        pairs' differences. Both are not a number where all scores of a row are equal.
    """
    return Correlations(
        cosine(*(centred_ranks(each) for each in (values, reference))),
        cosine(*(signs_of_pairs(each) for each in (values, reference))),
    )


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of the angle between vectors on the last axis."""
    lengths = np.sqrt((first * first).sum(-1) * (second * second).sum(-1))
    return np.divide((first * second).sum(-1), lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)


def centred_ranks(values: np.ndarray) -> np.ndarray:
    """The ranks on the last axis less their mean."""
    found = stats.rankdata(values, axis=-1)
    return found - found.mean(-1, keepdims=True)


def signs_of_pairs(values: np.ndarray) -> np.ndarray:
    """Which of each pair on the last axis is larger: 1, -1, or 0 for neither."""
    first, second = np.triu_indices(values.shape[-1], 1)
    return np.sign(values[..., first] - values[..., second])


def middle(draws: np.ndarray) -> tuple[float, float]:
    """The ends of the interval that holds the middle 95 % of the draws that are numbers."""
    low, high = np.nanquantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)
