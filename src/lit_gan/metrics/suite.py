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
from lit_gan.metrics.scores import FrechetDistance, inception_score, kernel_distance, precision_recall

log = logging.getLogger(__name__)

SUMS = ["real_features_sum", "real_features_cov_sum", "real_features_num_samples"]
"""The half of torchmetrics' FID state that is about the real images."""


class FeatureMetrics:
    """Scores `<extractor>/fid`, `/kid`, `/precision`, `/recall`, and `/is` and `/is_std` if the extractor has logits.

    Real images are measured once and kept in the cache folder: the sums that FID needs, and the features of the first
    `KEPT` of them, in an order that is random but always the same, for KID, precision and recall.

    Args:
        extractor: whose features are compared.
    """

    KEPT = 10_000
    SCORES: ClassVar = {"fid": "min", "kid": "min", "is": "max", "precision": "max", "recall": "max"}
    """What can be monitored, and which end of it is the good one."""

    def __init__(self, extractor: Extractor):
        self.extractor = extractor
        self.measured: tuple[tuple, FrechetDistance, Tensor] | None = None

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
        fid, real = self.against(source, protocol)
        with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
            torch.manual_seed(protocol.seed)
            pool, logits = self.generated(draw, protocol)
            scores = score(fid, real, pool, logits, protocol)
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
        return Features(
            pool, home(torch.cat(logits)[: protocol.inception_score]) if self.extractor.has_logits else None
        )

    def against(self, source: Source, protocol: Protocol) -> tuple[FrechetDistance, Float[Tensor, "n f"]]:
        """FID that knows the real images and nothing else, and the real features kept."""
        dataset = source.split(protocol.real_split)
        key = {
            "kind": "real",
            "data": source.name,
            "shape": list(source.shape),
            "split": protocol.real_split,
            "real": protocol.real,
            "fingerprint": dataset.fingerprint(),
            "kept": self.KEPT,
        } | self.extractor.identity()
        if self.measured is None or self.measured[0] != key:
            sums = cached(key, lambda: self.measure(source, protocol))
            self.measured = key, restored(sums, self.extractor.device), home(sums["features"].to(self.extractor.device))
        _, fid, features = self.measured
        fid.reset()
        return fid, features

    def measure(self, source: Source, protocol: Protocol) -> dict[str, Tensor]:
        """The real images' sums for FID and the first features, on the CPU."""
        dataset = source.split(protocol.real_split)
        numbers = choice(dataset, protocol.real)
        if len(numbers) < 2:
            raise UserError(f"data={source.name} has {len(numbers)} image: metrics need at least 2, or metrics=none.")
        log.info(f"Measuring {len(numbers)} real images with {self.prefix(source)}, once for all runs.")
        fid, kept = None, []
        for images, _ in read(dataset, numbers, protocol.batch_size):
            pool = home(self.extractor(images).pool)
            fid = fid or FrechetDistance(pool.shape[1]).to(pool.device)
            fid.update(pool, real=True)
            if len(kept) * protocol.batch_size < self.KEPT:
                kept.append(pool)
        sums = {name: getattr(fid, name) for name in SUMS} | {"features": torch.cat(kept)[: self.KEPT]}
        return {name: value.cpu() for name, value in sums.items()}

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


def restored(sums: dict[str, Tensor], device: torch.device) -> FrechetDistance:
    """FID with the real images' sums filled in."""
    fid = FrechetDistance(sums[SUMS[0]].numel())
    for name in SUMS:
        setattr(fid, name, sums[name])
    return fid if device.type == "mps" else fid.to(device)


def score(
    fid: FrechetDistance,
    real: Float[Tensor, "m f"],
    pool: Float[Tensor, "n f"],
    logits: Float[Tensor, "i k"] | None,
    protocol: Protocol,
) -> dict[str, float]:
    """Every score that the features allow."""
    for part in pool.split(1000):
        fid.update(part, real=False)
    kid = kernel_distance(real, pool, protocol.kid_subsets, protocol.kid_subset_size)
    few = protocol.precision_recall
    precision, recall = precision_recall(real[:few], pool[:few], protocol.neighbours)
    scores = {"fid": fid.compute().item(), "kid": kid, "precision": precision, "recall": recall}
    if logits is not None:
        scores["is"], deviation = inception_score(logits, protocol.splits)
        scores |= {"is_std": deviation} if protocol.splits > 1 else {}
    return scores
