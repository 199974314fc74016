"""Signs that a training has collapsed although it came to its last update.

They are few, and far from what sound runs show. Measured with DCGANs of width 8 on digits of 16 px
after 400 to 600 updates: sound runs end with losses and outputs of D below 25, at 1.8 times their
best FID or less, and with samples of 0.2 to 1.1 times the data's variance (0.09 while they still
learn). Collapsed ones end with losses of 3e6, or at 3 to 15 times their best FID.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_gan.data import Source
from lit_gan.game import Generator, in_float64
from lit_gan.metrics.reading import read_batches, subset_indices
from lit_gan.records.pace import newest_curves
from lit_gan.records.score_names import four_digits
from lit_gan.sampling import Sampler

LOSS = 1e6
"""A loss, or a mean output of D, beyond this has exploded."""

FACTOR = 3.0
"""A monitored score so many times worse than its best may be lost."""

SPREAD = 0.01
"""Samples with less than this share of the data's variance are all alike."""

SAMPLES = 64
"""The number of samples that are compared with as many real ones."""

SETTLED = 100
"""After fewer generator updates the running statistics of G's batch normalisation make samples
alike by themselves."""


def exploded_loss(table: Path) -> str | None:
    """A sentence on the largest of the last losses and outputs of D in `metrics.csv`, if it is
    beyond `LOSS`."""
    _, last = newest_curves(table)
    name = max(last, key=lambda name: abs(last[name]), default=None)
    if name is None or not abs(last[name]) > LOSS:
        return None
    return (
        f"{name} is {last[name]:.2g} at the end: the players drive each other away, so lower the learning rates "
        f"(optim.d.lr, optim.g.lr) or add a regularizer (reg=spectral)"
    )


def lost_score(course: list[dict[str, Any]], metric: str, mode: str) -> str | None:
    """A sentence on the monitored score, if it ends far from its best.

    That is at least `FACTOR` times worse, with at least half of what was won since the first
    evaluation lost again.

    Args:
        course: the records of the evaluations during training, as `results.json` has them.
        metric: full name of the score.
        mode: its good end, "min" or "max".
    """
    values = comparable_values(course, metric)
    if not values:
        return None
    (first, _), (last, _) = values[0], values[-1]
    best, update = min(values) if mode == "min" else max(values)
    low, high = sorted([best, last])
    if best <= 0 or last == best or high < FACTOR * low or abs(last - best) < abs(first - best) / 2:
        return None
    return (
        f"{metric} ends at {four_digits(last)}, after {four_digits(best)} at update {update}: the training came "
        f"apart on the way, and checkpoint=best is of that update"
    )


def comparable_values(course: list[dict[str, Any]], metric: str) -> list[tuple[float, int]]:
    """The finite values of a score with their updates, of the records under the same protocol as
    the last one."""
    alike = [record for record in course if record.get("protocol") == course[-1].get("protocol")]
    values = [(record["scores"].get(metric), record["update"]) for record in alike]
    return [(value, update) for value, update in values if value is not None and math.isfinite(value)]


def equal_samples(G: Generator, source: Source) -> str | None:
    """A sentence on `SAMPLES` samples of G, if they are all alike: the same text, or next to no
    variance."""
    samples = Sampler(G)(SAMPLES).cpu()
    if lines := source.lines(samples):
        return f"all of {len(lines)} samples are the same text" if len(set(lines)) == 1 else None
    dataset = source.split("train")
    real = torch.cat([source.samples(x) for x, _ in read_batches(dataset, subset_indices(dataset, SAMPLES), SAMPLES)])
    found, wanted = variance(samples), variance(real)
    if wanted == 0 or found > SPREAD * wanted:
        return None
    return f"all samples are alike: their variance is {found / wanted:.1g} of the data's"


def variance(x: Tensor) -> float:
    """The mean over the dimensions of the variance over the samples, 0 for a single one."""
    return in_float64(x.flatten(1)).var(0, correction=0).mean().item()
