"""IS, FID, KID, precision and recall of a generator, from one extractor pass."""

import logging
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from lit_gan.data import Source, to_uint8
from lit_gan.data.source import ImageFiles, Images
from lit_gan.errors import UserError
from lit_gan.metrics.cache import cached
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.protocol import Protocol
from lit_gan.metrics.reading import choice, read, with_progress
from lit_gan.metrics.scores import (
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    Moments,
    PrecisionRecall,
    Reference,
    root,
)
from lit_gan.metrics.sharing import Draw, own_batches
from lit_gan.processes import rank_and_size

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

    def measure_real(self, source: Source, protocol: Protocol) -> None:
        """Measures the real images of a protocol, after `prepare`, unless the cache folder knows them already.

        Done before a training for all its protocols. It takes as long as at the first evaluation, once for all runs,
        but what is wrong with the images, or with the place where they are cached, is known before the first update.

        Raises:
            UserError: there are too few images, or one that cannot be read.
        """
        self.against(source, protocol)

    def evaluate(
        self,
        draw: Draw,
        source: Source,
        protocol: Protocol,
        device: torch.device | str = "cpu",
    ) -> dict[str, float]:
        """All scores of a generator, the same in every process. Torch's random numbers are left as they were.

        Args:
            draw: gives the next n generated images [n, c, h, w], in [-1, 1]; they are rounded to uint8, as files would
                be. Every process makes and looks at its share of them; all must call.
            source: the real images.
            device: of the extractor and the scores.

        Raises:
            UserError: as `prepare`, or the data set does not have the protocol's split.
        """
        self.prepare(source, device)
        scores = self.scores(self.against(source, protocol), protocol)
        with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
            torch.manual_seed(protocol.seed + rank_and_size()[0])  # G may draw noise of its own
            self.look(draw, protocol, scores)
            torch.manual_seed(protocol.seed)  # KID's subsets and IS's parts, the same in every process
            found = named(scores.compute(), protocol)
        scores.reset()  # a Metric is part of a cycle of references, so that its features would wait for the collector
        return {f"{self.prefix(source)}/{key}": value for key, value in found.items()}

    def scores(self, real: Reference, protocol: Protocol) -> MetricCollection:
        """The scores that the extractor allows; their order is that in which they draw random numbers."""
        scores = [
            FrechetDistance(real),
            KernelDistance(real, protocol.kid_subsets, protocol.kid_subset_size),
            PrecisionRecall(real, protocol.precision_recall, protocol.neighbours),
        ]
        return MetricCollection([*scores, InceptionScore(protocol.splits)] if self.extractor.has_logits else scores)

    def look(self, draw: Draw, protocol: Protocol, scores: MetricCollection) -> None:
        """Gives the scores what the extractor sees in this process's share of the generated images."""
        wanted = max(protocol.generated, protocol.inception_score if self.extractor.has_logits else 0)
        for numbers, images in own_batches(draw, protocol.batches(wanted)):
            seen = self.extractor(to_uint8(images))
            features = {"pool": home(seen.pool)[: below(protocol.generated, numbers)]}
            if seen.logits is not None:
                features["logits"] = home(seen.logits)[: below(protocol.inception_score, numbers)]
            scores.update(**features)

    def against(self, source: Source, protocol: Protocol) -> Reference:
        """What is known of the real images."""
        dataset = source.split(protocol.real_split)
        key = {
            "kind": "reference",
            "data": source.name,
            "shape": list(source.shape),
            "split": protocol.real_split,
            "real": n_real(dataset, protocol),
            "fingerprint": dataset.fingerprint(),
            "kept": self.KEPT,
        } | self.extractor.identity()
        if self.measured is None or self.measured[0] != key:
            place = home(torch.empty(0, device=self.extractor.device)).device
            kept = min(key["real"], self.KEPT)
            parts = cached(key, lambda: self.measure(source, protocol), lambda parts: is_reference(parts, kept))
            self.measured = key, Reference(**{name: part.to(place) for name, part in parts.items()})
        return self.measured[1]

    def measure(self, source: Source, protocol: Protocol) -> dict[str, Tensor]:
        """The parts of a Reference, on the CPU."""
        dataset = source.split(protocol.real_split)
        numbers = choice(dataset, protocol.real)
        if len(numbers) < 2:
            raise UserError(
                f"data={source.name} has {len(numbers)} image in its split '{protocol.real_split}', and metrics need "
                f"at least 2: set protocol.{protocol.name}.real_split to another one, or metrics=none."
            )
        log.info(f"Measuring {len(numbers)} real images with {self.prefix(source)}, once for all runs.")
        moments, kept = None, []
        for images, _ in with_progress(read(dataset, numbers, protocol.batch_size), len(numbers)):
            pool = home(self.extractor(images).pool)
            moments = moments or Moments(pool)
            moments.add(pool)
            if len(kept) * protocol.batch_size < self.KEPT:
                kept.append(pool)
        features = torch.cat(kept)[: self.KEPT]
        parts = {"mean": moments.mean(), "root": root(moments.covariance()), "features": features}
        return {name: part.cpu() for name, part in parts.items()}

    def describe(self, protocol: Protocol, source: Source) -> dict[str, Any]:
        """What is stored with the scores, after `prepare`: the protocol as it was used, the extractor, the data.

        `precision_recall` counts the generated images, `precision_recall_real` the real ones where they were fewer.
        """
        dataset = source.split(protocol.real_split)
        data = {"data": source.name, "shape": list(source.shape), "fingerprint": dataset.fingerprint()}
        return asdict(protocol) | self.used(protocol, n_real(dataset, protocol)) | data | self.extractor.identity()

    def used(self, protocol: Protocol, real: int) -> dict[str, int]:
        """The numbers of a protocol as the scores use them with so many real images, and this many."""
        kept = min(real, self.KEPT)
        x, y = (min(protocol.precision_recall, n) for n in (kept, protocol.generated))
        return {
            "real": real,
            "splits": min(protocol.splits, protocol.inception_score),
            "kid_subset_size": min(protocol.kid_subset_size, kept, protocol.generated),
            "precision_recall": y,
            "neighbours": min(protocol.neighbours, x - 1, y - 1),
        } | ({"precision_recall_real": x} if x < y else {})

    def caveats(self, source: Source, protocol: Protocol) -> dict[str, str]:
        """Why a score cannot bear the comparison with others, by the score's name, after `prepare`.

        FID of no more images than features is one: their covariance has not its full rank. So is a score for which a
        protocol's number had to be cut down.
        """
        used = self.used(protocol, n_real(source.split(protocol.real_split), protocol))
        width, reasons = self.against(source, protocol).features.shape[1], {}
        few = [f"{n} {kind}" for kind, n in (("real", used["real"]), ("generated", protocol.generated)) if n <= width]
        if few:
            reasons["fid"] = f"{' and '.join(few)} images are too few for {width} features, which makes it too large"
        for names, number in CUT.items():
            measured = number != "splits" or self.extractor.has_logits
            if measured and used[number] < getattr(protocol, number):
                reasons |= dict.fromkeys(names, f"{number} is {used[number]} instead of {getattr(protocol, number)}")
        return {f"{self.prefix(source)}/{name}": reason for name, reason in reasons.items()}


CUT = {("kid",): "kid_subset_size", ("precision", "recall"): "neighbours", ("is", "is_std"): "splits"}
"""The number that each score cannot do without, for it is another score with a smaller one."""


def n_real(dataset: Images | ImageFiles, protocol: Protocol) -> int:
    """How many real images a protocol takes."""
    return min(protocol.real or len(dataset), len(dataset))


def is_reference(parts: dict[str, Tensor], kept: int) -> bool:
    """Whether the parts are those of a Reference that keeps so many features."""
    if parts.keys() != {"mean", "root", "features"}:
        return False
    _, width = parts["features"].shape
    shapes = {"mean": (width,), "root": (width, width), "features": (kept, width)}
    return all(parts[name].shape == shape for name, shape in shapes.items())


def home(features: Tensor) -> Tensor:
    """Where scores are computed: on the extractor's device, unless it has no float64."""
    return features.cpu() if features.device.type == "mps" else features


def below(total: int, numbers: range) -> int:
    """How many of the numbers are smaller than `total`."""
    return len(range(numbers.start, min(numbers.stop, total)))


def named(found: dict[str, Any], protocol: Protocol) -> dict[str, float]:
    """The scores of a `MetricCollection` by the names that they have in records; no deviation of a single part."""
    precision, recall = found["PrecisionRecall"]
    scores = {
        "fid": found["FrechetDistance"],
        "kid": found["KernelDistance"][0],
        "precision": precision,
        "recall": recall,
    }
    if "InceptionScore" in found:
        score, deviation = found["InceptionScore"]
        scores |= {"is": score} | ({"is_std": deviation} if protocol.splits > 1 else {})
    return {name: value.item() for name, value in scores.items()}
