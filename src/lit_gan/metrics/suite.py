"""IS, FID, KID, precision and recall of a generator, from one extractor pass."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.data import Source, to_uint8
from lit_gan.errors import UserError
from lit_gan.metrics.cache import cached
from lit_gan.metrics.extractors import Extractor, Features
from lit_gan.metrics.protocol import Protocol
from lit_gan.metrics.reading import choice, read
from lit_gan.metrics.scores import (
    Moments,
    Reference,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    root,
)

log = logging.getLogger(__name__)


class FeatureMetrics:
    """Scores `<extractor>/fid`, `/kid`, `/precision`, `/recall`, and `/is` and `/is_std` if the extractor has logits.

    Real images are measured once and kept in the cache folder: the mean and the root of the covariance of their
    features for FID, and the features of the first `KEPT` of them, in an order that is random but always the same, for
    KID, precision and recall.

    Args:
        extractor: whose features are compared.
    """

    KEPT = 10_000
    SCORES: ClassVar = {"fid": "min", "kid": "min", "is": "max", "precision": "max", "recall": "max"}
    """What can be monitored, and which end of it is the good one."""

    def __init__(self, extractor: Extractor):
        self.extractor = extractor
        self.measured: tuple[dict, Reference] | None = None

    def prefix(self, source: Source) -> str:
        """What the scores' names begin with for a data set."""
        return self.extractor.prefix(source)

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Loads the extractor, so that what is missing is missed before the training.

        Raises:
            UserError: the data are not images, or the extractor has no weights or cannot work on them.
        """
        if len(source.shape) != 3:
            raise UserError(
                f"data={source.name} has no images: choose metrics=modes for points, metrics=ngrams for text."
            )
        self.extractor.prepare(source, device)

    def evaluate(
        self,
        draw: Callable[[int], Float[Tensor, "n c h w"]],
        source: Source,
        protocol: Protocol,
        device: torch.device | str = "cpu",
    ) -> dict[str, float]:
        """All scores of a generator. Torch's random numbers are left as they were.

        Args:
            draw: gives the next n generated images, in [-1, 1]; they are rounded to uint8, as files would be.
            source: the real images.
            device: of the extractor and the scores.

        Raises:
            UserError: as `prepare`, or the data set does not have the protocol's split.
        """
        self.prepare(source, device)
        real = self.against(source, protocol)
        with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
            torch.manual_seed(protocol.seed)
            pool, logits = self.generated(draw, protocol)
            torch.manual_seed(protocol.seed)  # G may have drawn noise of its own
            scores = score(real, pool, logits, protocol)
        return {f"{self.prefix(source)}/{key}": value for key, value in scores.items()}

    def generated(self, draw: Callable[[int], Float[Tensor, "n c h w"]], protocol: Protocol) -> Features:
        """Features [generated, f] and logits [inception_score, k] of generated images."""
        pools, logits = [], []
        wanted = max(protocol.generated, protocol.inception_score if self.extractor.has_logits else 0)
        for n in protocol.batches(wanted):
            seen = self.extractor(to_uint8(draw(n)))
            pools.append(home(seen.pool))
            logits.append(seen.logits)
        pool = torch.cat(pools)[: protocol.generated]
        if not self.extractor.has_logits:
            return Features(pool, None)
        return Features(pool, home(torch.cat(logits)[: protocol.inception_score]))

    def against(self, source: Source, protocol: Protocol) -> Reference:
        """What is known of the real images."""
        dataset = source.split(protocol.real_split)
        key = {
            "kind": "reference",
            "data": source.name,
            "shape": list(source.shape),
            "split": protocol.real_split,
            "real": protocol.real,
            "fingerprint": dataset.fingerprint(),
            "kept": self.KEPT,
        } | self.extractor.identity()
        if self.measured is None or self.measured[0] != key:
            place = home(torch.empty(0, device=self.extractor.device)).device
            parts = cached(key, lambda: self.measure(source, protocol))
            self.measured = key, Reference(**{name: part.to(place) for name, part in parts.items()})
        return self.measured[1]

    def measure(self, source: Source, protocol: Protocol) -> dict[str, Tensor]:
        """The parts of a Reference, on the CPU."""
        dataset = source.split(protocol.real_split)
        numbers = choice(dataset, protocol.real)
        if len(numbers) < 2:
            raise UserError(f"data={source.name} has {len(numbers)} image: metrics need at least 2, or metrics=none.")
        log.info(f"Measuring {len(numbers)} real images with {self.prefix(source)}, once for all runs.")
        moments, kept = None, []
        for images, _ in read(dataset, numbers, protocol.batch_size):
            pool = home(self.extractor(images).pool)
            moments = moments or Moments(pool)
            moments.add(pool)
            if len(kept) * protocol.batch_size < self.KEPT:
                kept.append(pool)
        features = torch.cat(kept)[: self.KEPT]
        parts = {"mean": moments.mean(), "root": root(moments.covariance()), "features": features}
        return {name: part.cpu() for name, part in parts.items()}

    def describe(self, protocol: Protocol, source: Source) -> dict[str, Any]:
        """What is stored with the scores, after `prepare`: the protocol with actual counts, the extractor, the data."""
        dataset = source.split(protocol.real_split)
        real = min(protocol.real or len(dataset), len(dataset))
        counts = {
            "real": real,
            "kid_subset_size": min(protocol.kid_subset_size, real, protocol.generated),
            "precision_recall": min(protocol.precision_recall, real, protocol.generated, self.KEPT),
        }
        data = {"data": source.name, "shape": list(source.shape), "fingerprint": dataset.fingerprint()}
        return asdict(protocol) | counts | data | self.extractor.identity()


def home(features: Tensor) -> Tensor:
    """Where scores are computed: on the extractor's device, unless it has no float64."""
    return features.cpu() if features.device.type == "mps" else features


def score(
    real: Reference, pool: Float[Tensor, "n f"], logits: Float[Tensor, "i k"] | None, protocol: Protocol
) -> dict[str, float]:
    """Every score that the features allow."""
    kid = kernel_distance(real, pool, protocol.kid_subsets, protocol.kid_subset_size)
    precision, recall = precision_recall(real, pool, protocol.precision_recall, protocol.neighbours)
    scores = {"fid": frechet_distance(real, pool), "kid": kid, "precision": precision, "recall": recall}
    if logits is not None:
        scores["is"], deviation = inception_score(logits, protocol.splits)
        scores |= {"is_std": deviation} if protocol.splits > 1 else {}
    return scores
