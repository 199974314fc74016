"""Scores of a generator that looks at labels, class by class."""

import logging
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_gan.data import Source, to_uint8
from lit_gan.metrics.cache import cached
from lit_gan.metrics.ms_ssim import n_scales, similarity
from lit_gan.metrics.protocol import Protocol
from lit_gan.metrics.reading import choice, read, with_progress
from lit_gan.metrics.scores import FrechetDistance, Moments, Reference, root
from lit_gan.metrics.suite import FeatureMetrics, home
from lit_gan.sampling import Sampler
from lit_gan.system.watching import watched

log = logging.getLogger(__name__)

REAL = 50_000
"""The most real images that are looked at."""
PAIRS = 100
"""Pairs of samples whose similarity is measured in a class. Odena et al. 2017, section 4.2."""

ByClass = dict[str, list[float | None]]


def class_scores(sampler: Sampler, suite: Any, source: Source, protocol: Protocol) -> ByClass:
    """FID and MS-SSIM within each class, from the first class on, after `suite.prepare`.

    Args:
        sampler: `protocol.generated` samples are shared among its classes.

    Returns:
        Nothing for a G that looks at no labels, and for a suite that compares no features.
        fid: the distance of a class's samples from its real images, at most `REAL` of all classes, a fixed random
            choice; None for a class with fewer than two. With few images it is biased upwards.
        ms_ssim: the mean over `PAIRS` pairs of generated samples, 1 if all are the same; missing for images smaller
            than its window.
    """
    if sampler.n_classes is None or not isinstance(suite, FeatureMetrics):
        return {}
    features, labels = real_features(suite, source, protocol)
    n, scales = max(2, protocol.generated // sampler.n_classes), n_scales(min(source.shape[1:]))
    scores: ByClass = {"fid": []} | ({"ms_ssim": []} if scales else {})
    for label in watched(range(sampler.n_classes), sampler.n_classes, "evaluating each class"):
        images = torch.cat([to_uint8(sampler(size, label)) for size in protocol.batches(n)])
        pool = torch.cat([home(suite.extractor(part).pool) for part in images.split(protocol.batch_size)])
        scores["fid"].append(distance(features[labels == label].to(pool.device), pool))
        if scales:
            scores["ms_ssim"].append(similarity(images[: 2 * PAIRS], scales))
    return scores


def distance(real: Float[Tensor, "m f"], generated: Float[Tensor, "n f"]) -> float | None:
    """FID; None for fewer than two real images."""
    if len(real) < 2:
        return None
    moments = Moments(real)
    moments.add(real)
    score = FrechetDistance(Reference(moments.mean(), root(moments.covariance()), real))
    score.update(generated)
    value = score.compute().item()
    score.reset()  # frees the features, which a cycle of references would keep
    return value


def class_caveats(classes: ByClass, suite: Any, source: Source, protocol: Protocol) -> dict[str, str]:
    """Why intra FID cannot bear the comparison with others, if so: a class has no more images than features."""
    if "fid" not in classes:
        return {}
    real = min(protocol.real or REAL, REAL, len(source.split(protocol.real_split)))
    each = min(protocol.generated, real) // len(classes["fid"])
    width = suite.against(source, protocol).features.shape[1]
    reason = f"about {each} images of a class are too few for {width} features, which makes it too large"
    return {f"{suite.prefix(source)}/intra_fid": reason} if each <= width else {}


def means(scores: ByClass, prefix: str) -> dict[str, float]:
    """The mean of each score over the classes: intra FID, Miyato and Koyama 2018, section 4, and intra MS-SSIM."""
    known = {name: [value for value in values if value is not None] for name, values in scores.items()}
    return {f"{prefix}/intra_{name}": sum(values) / len(values) for name, values in known.items() if values}


def real_features(
    suite: FeatureMetrics, source: Source, protocol: Protocol
) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
    """Features and labels of the real images, on the CPU, from the cache folder if they are there.

    Where the scores of all classes together have kept these features already, they are not measured again.
    """
    dataset = source.split(protocol.real_split)
    numbers = choice(dataset, min(protocol.real or REAL, REAL))
    if len(numbers) <= suite.KEPT and hasattr(dataset, "labels"):
        return suite.against(source, protocol).features.cpu(), dataset.labels[numbers]
    key = {
        "kind": "real by class",
        "data": source.name,
        "shape": list(source.shape),
        "split": protocol.real_split,
        "real": len(numbers),
        "fingerprint": dataset.fingerprint(),
    } | suite.extractor.identity()

    def compute() -> dict[str, Tensor]:
        log.info(f"Measuring {len(numbers)} real images with {suite.prefix(source)} by class, once for all runs.")
        batches = with_progress(read(dataset, numbers, protocol.batch_size), len(numbers))
        pools, labels = zip(*((suite.extractor(images).pool.cpu(), labels) for images, labels in batches), strict=True)
        return {"features": torch.cat(pools), "labels": torch.cat(labels)}

    def fits(real: dict[str, Tensor]) -> bool:
        return real.keys() == {"features", "labels"} and all(len(part) == len(numbers) for part in real.values())

    real = cached(key, compute, fits)
    return real["features"], real["labels"]
