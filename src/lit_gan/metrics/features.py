"""IS, FID, KID, precision, recall, density and coverage of a generator, from one extractor pass."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from lit_gan.data import Source, to_uint8
from lit_gan.metrics.base import ByClass
from lit_gan.metrics.choice import ChosenImages, chosen_images
from lit_gan.metrics.classes import class_scores
from lit_gan.metrics.feature_suite import FeatureSuite
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.real import n_real
from lit_gan.metrics.reference import Reference, to_scoring_device
from lit_gan.metrics.scores import FrechetDistance, InceptionScore, KernelDistance, NeighbourScores
from lit_gan.metrics.sharing import Draw, own_batches, own_numbers
from lit_gan.sampling import Sampler
from lit_gan.system.processes import rank_and_size
from lit_gan.system.random_numbers import keeping_random_state


class FeatureMetrics(FeatureSuite):
    """FID, KID, precision, recall, density and coverage, and IS if the extractor has logits.

    The scores are `<extractor>/fid`, `/kid`, `/precision`, `/recall`, `/density`, `/coverage`,
    `/is` and `/is_std`. FID looks at all real images of the protocol; KID and the scores of nearest
    neighbours at the first `RealFeatures.KEPT` of them, 10,000, in an order that is always the same.

    Args:
        extractor: gives the features that are compared.
    """

    SCORES: ClassVar = {
        "fid": "min",
        "kid": "min",
        "is": "max",
        "precision": "max",
        "recall": "max",
        "density": "max",
        "coverage": "max",
    }

    def compute(
        self, draw: Draw, source: Source, protocol: EvalProtocol, device: torch.device | str
    ) -> dict[str, float]:
        """All scores; torch's random numbers are left as they were.

        The generated images are rounded to uint8, as files would be.
        """
        real = self.real.reference(source, protocol)
        with keeping_random_state(device):
            torch.manual_seed(protocol.seed)
            choice = chosen_images(protocol, len(real.features))
            torch.manual_seed(protocol.seed + rank_and_size()[0])  # G may draw noise of its own
            scores = self.collection(real, protocol, choice)
            self.look(draw, protocol, choice, scores)
        values = named(scores.compute(), protocol)
        scores.reset()  # a Metric is part of a cycle of references, so that its features would wait for the collector
        return values

    def collection(self, real: Reference, protocol: EvalProtocol, choice: ChosenImages) -> MetricCollection:
        """The scores that the extractor allows, for this process's share of the generated images."""
        own = own_numbers(protocol.batches(self.wanted(protocol)))
        n = int(choice.kept[own.start : own.stop].sum())
        scores = {
            "fid": FrechetDistance(real),
            "kid": KernelDistance(real, n, choice.subsets),
            "neighbours": NeighbourScores(real, n, protocol.precision_recall, protocol.neighbours),
        }
        groups = [["fid"], ["kid", "neighbours"]]
        if self.extractor.has_logits:
            scores["is"] = InceptionScore(int(choice.parts.max()) + 1)
            groups.append(["is"])
        return MetricCollection(scores, compute_groups=groups).to(real.mean.device)

    def wanted(self, protocol: EvalProtocol) -> int:
        """How many images are generated, for the score that needs most of them."""
        return max(protocol.generated, protocol.inception_score if self.extractor.has_logits else 0)

    def look(self, draw: Draw, protocol: EvalProtocol, choice: ChosenImages, scores: MetricCollection) -> None:
        """Shows the scores the features of this process's share of the generated images."""
        for numbers, images in own_batches(draw, protocol.batches(self.wanted(protocol))):
            seen = self.extractor(to_uint8(images))
            kept, parts = (each[numbers.start : numbers.stop] for each in (choice.kept, choice.parts))
            pool = to_scoring_device(seen.pool)[: len(kept)]
            features = {"pool": pool, "kept": pool[kept]}
            if seen.logits is not None:
                features |= {"logits": to_scoring_device(seen.logits)[: len(parts)], "parts": parts}
            scores.update(**features)

    def by_class(self, sampler: Sampler, source: Source, protocol: EvalProtocol) -> ByClass:
        """FID and MS-SSIM within each class, see `class_scores`; none if G looks at no labels."""
        if sampler.n_classes is None:
            return {}
        return class_scores(sampler, self.extractor, self.real.class_features(source, protocol), protocol)

    def describe(self, source: Source, protocol: EvalProtocol) -> dict[str, Any]:
        """The protocol as it was used, the data and the extractor.

        `real` counts the real images of FID; KID takes its own from 10,000 of them where they are more.
        `precision_recall` counts the generated images of precision, recall, density and coverage,
        `precision_recall_real` the real ones where they were fewer, or where a protocol's number of the
        generated ones was cut.
        """
        dataset = source.split(protocol.real_split)
        data = {"data": source.name, "shape": list(source.shape), "fingerprint": dataset.fingerprint()}
        return protocol.facts() | self.used(protocol, n_real(dataset, protocol)) | data | self.extractor.identity()

    def used(self, protocol: EvalProtocol, real: int) -> dict[str, int]:
        """The numbers of a protocol as the scores use them, where there are so many real images."""
        kept = min(real, self.real.KEPT)
        x, y = (min(protocol.precision_recall, n) for n in (kept, protocol.generated))
        return {
            "real": real,
            "splits": min(protocol.splits, protocol.inception_score),
            "kid_subset_size": min(protocol.kid_subset_size, kept, protocol.generated),
            "precision_recall": y,
            "neighbours": min(protocol.neighbours, x - 1, y - 1),
        } | ({"precision_recall_real": x} if x < y or y < min(x, protocol.precision_recall) else {})

    def caveats(self, source: Source, protocol: EvalProtocol, classes: ByClass | None = None) -> dict[str, str]:
        """Names the scores of too few images, and those for which a number had to be cut down.

        FID of no more images than features is one, because their covariance lacks full rank.
        So is the mean over classes where a class has no more images than there are features.
        """
        real = n_real(source.split(protocol.real_split), protocol)
        width = self.real.reference(source, protocol).features.shape[1]
        reasons = too_few_images(real, protocol.generated, width) | self.cut_numbers(protocol, real)
        if classes:
            reasons |= too_few_of_a_class(self.fewest_of_a_class(source, protocol, classes), width)
        return {f"{self.prefix(source)}/{name}": reason for name, reason in reasons.items()}

    def fewest_of_a_class(self, source: Source, protocol: EvalProtocol, classes: ByClass) -> int:
        """The number of images, real or generated, of the smallest class that has an FID."""
        counts = self.real.class_features(source, protocol).labels.bincount(minlength=len(classes["fid"])).tolist()
        scored = [n for n, fid in zip(counts, classes["fid"], strict=False) if fid is not None]
        return min([protocol.generated // len(classes["fid"]), *scored])

    def cut_numbers(self, protocol: EvalProtocol, real: int) -> dict[str, str]:
        """Why a score, by its short name, is not the one asked for: there are too few images."""
        used, reasons = self.used(protocol, real), {}
        for names, number in NEEDED:
            asked = getattr(protocol, number)
            has_score = number != "splits" or self.extractor.has_logits
            if has_score and used[number] < asked:
                reasons |= dict.fromkeys(names, f"{number} is {used[number]} instead of {asked}")
        return reasons


OF_NEIGHBOURS = ("precision", "recall", "density", "coverage")
"""The scores that `NeighbourScores` computes, in its order."""
NEEDED = (
    (("kid",), "kid_subset_size"),
    (OF_NEIGHBOURS, "precision_recall"),
    (OF_NEIGHBOURS, "neighbours"),
    (("is", "is_std"), "splits"),
)
"""The numbers of a protocol without which scores are others."""


def too_few_images(real: int, generated: int, width: int) -> dict[str, str]:
    """Why FID is biased, if there are no more images of a kind than features."""
    few = [f"{n} {kind}" for kind, n in (("real", real), ("generated", generated)) if n <= width]
    reason = f"{' and '.join(few)} images are too few for {width} features, which makes it too large"
    return {"fid": reason} if few else {}


def too_few_of_a_class(each: int, width: int) -> dict[str, str]:
    """Why intra FID is biased, if a class has no more images than there are features."""
    reason = f"{each} images of a class are too few for {width} features, which makes it too large"
    return {"intra_fid": reason} if each <= width else {}


def named(found: dict[str, Any], protocol: EvalProtocol) -> dict[str, float]:
    """The scores of a `MetricCollection` by their short names; one part of IS has no deviation."""
    scores: dict[str, Tensor] = {"fid": found["fid"], "kid": found["kid"][0]}
    scores |= zip(OF_NEIGHBOURS, found["neighbours"], strict=True)
    if "is" in found:
        score, deviation = found["is"]
        scores |= {"is": score} | ({"is_std": deviation} if protocol.splits > 1 else {})
    return {name: value.item() for name, value in scores.items()}
