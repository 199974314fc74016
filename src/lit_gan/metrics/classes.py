"""Scores of a generator that looks at labels, class by class."""

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.data import to_uint8
from lit_gan.metrics.base import ByClass
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.ms_ssim import n_scales, similarity
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.real import ClassFeatures
from lit_gan.metrics.scores import FrechetDistance, Moments, Reference, root, to_scoring_device
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
    size = max(2, protocol.generated // sampler.n_classes)
    scores: ByClass = {"fid": []}
    for label in watched(range(sampler.n_classes), sampler.n_classes, "evaluating each class"):
        images = torch.cat([to_uint8(sampler(n, label)) for n in protocol.batches(size)])
        pools = [to_scoring_device(extractor(part).pool) for part in images.split(protocol.batch_size)]
        scores["fid"].append(class_fid(real.features[real.labels == label], torch.cat(pools)))
        if scales := n_scales(min(images.shape[2:])):
            scores.setdefault("ms_ssim", []).append(similarity(images[: 2 * PAIRS], scales))
    return scores


def class_fid(real: Float[Tensor, "m f"], generated: Float[Tensor, "n f"]) -> float | None:
    """FID between features of one class; None for fewer than two real images."""
    if len(real) < 2:
        return None
    real = real.to(generated.device)
    moments = Moments(real)
    moments.add(real)
    score = FrechetDistance(Reference(moments.mean(), root(moments.covariance()), real))
    score.update(generated)
    value = score.compute().item()
    score.reset()  # frees the features, which a cycle of references would keep
    return value


def class_means(scores: ByClass, prefix: str) -> dict[str, float]:
    """The mean of each score over the classes, by its full name.

    Intra FID is that of Miyato and Koyama 2018, section 4.
    """
    known = {name: [value for value in values if value is not None] for name, values in scores.items()}
    return {f"{prefix}/intra_{name}": sum(values) / len(values) for name, values in known.items() if values}
