"""Scores of a generator that looks at labels, class by class."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from lit_gan.data import to_uint8
from lit_gan.metrics.base import ByClass
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.ms_ssim import n_scales, similarity
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.real import ClassFeatures
from lit_gan.metrics.reference import Moments, Pool, Reference, root, scoring_device, to_scoring_device
from lit_gan.metrics.scores import FrechetDistance
from lit_gan.sampling import Sampler
from lit_gan.system.watching import watched

PAIRS = 100
"""Pairs of samples whose similarity is measured in a class. Odena et al. 2017, section 4.2."""


def class_scores(sampler: Sampler, extractor: Extractor, real: ClassFeatures, protocol: EvalProtocol) -> ByClass:
    """FID and MS-SSIM within each class, from the first class on.

    Args:
        sampler: draws `protocol.generated` samples, as many of each class.
        real: the images that the samples of their class are compared with.

    Returns:
        fid: the distance of a class's samples from its real images; None for a class with fewer
            than two of them. With few images it is biased upwards.
        ms_ssim: the mean over `PAIRS` pairs of generated samples, 1 if all are the same; missing
            for images smaller than its window.
    """
    sizes = protocol.batches(max(2, protocol.generated // sampler.n_classes))
    scores: ByClass = {"fid": []}
    for label in watched(range(sampler.n_classes), sampler.n_classes, "evaluating each class"):
        distance = distance_to(real.features[real.labels == label].to(scoring_device(extractor.device)))
        images = torch.cat(list(first_images(sampler, label, sizes, extractor, distance)))[: 2 * PAIRS]
        scores["fid"].append(None if distance is None else distance.compute().item())
        if distance is not None:
            distance.reset()  # frees its sums, which a cycle of references would keep
        if scales := n_scales(min(images.shape[2:])):
            scores.setdefault("ms_ssim", []).append(similarity(images, scales))
    return scores


def distance_to(real: Pool) -> FrechetDistance | None:
    """FID to features of one class; None for fewer than two real images."""
    if len(real) < 2:
        return None
    moments = Moments.none(real.shape[1], real.device)
    moments.add(real)
    return FrechetDistance(Reference(moments.mean(), root(moments.covariance()), real))


def first_images(
    sampler: Sampler, label: int, sizes: Sequence[int], extractor: Extractor, distance: FrechetDistance | None
) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """The batches with the first 2 * PAIRS samples of a class, while the features of all samples go
    to its FID."""
    for number, size in enumerate(sizes):
        images = to_uint8(sampler(size, label))
        if distance is not None:
            distance.update(to_scoring_device(extractor(images).pool))
        if number * sizes[0] < 2 * PAIRS:
            yield images


def class_means(scores: ByClass, prefix: str) -> dict[str, float]:
    """The mean of each score over the classes, by its full name.

    Intra FID is that of Miyato and Koyama 2018, section 4.
    """
    known = {name: [value for value in values if value is not None] for name, values in scores.items()}
    return {f"{prefix}/intra_{name}": sum(values) / len(values) for name, values in known.items() if values}
