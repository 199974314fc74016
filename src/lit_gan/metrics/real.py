"""Real images as an extractor sees them, measured once and cached for all runs."""

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_gan.data import Source
from lit_gan.data.source import ImageFiles, StoredSplit, hashed
from lit_gan.errors import UserError, is_shipped, path_of
from lit_gan.metrics.cache import Value, cached
from lit_gan.metrics.extractors import Extractor
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.reading import read_batches, subset_indices
from lit_gan.metrics.reference import Moments, Pool, Reference, root, scoring_device, to_scoring_device

log = logging.getLogger(__name__)

MOST_LABELLED = 50_000
"""The most real images whose features are kept with their labels, for scores of classes."""


class ClassFeatures(NamedTuple):
    """Features of real images and the classes that these are of."""

    features: Float[Tensor, "n f"]
    labels: Int[Tensor, " n"]


class RealFeatures:
    """What an extractor sees in the real images of a protocol.

    The images are a random choice that is always the same. Of all of them the mean and the root of
    the covariance of the features are kept, for FID, and of the first `KEPT` the features
    themselves, for KID and the scores of nearest neighbours.

    Args:
        extractor: gives the features; it has been prepared when it is first used here.
    """

    KEPT = 10_000
    """The most images whose features are compared one by one."""

    def __init__(self, extractor: Extractor):
        self.extractor, self.code = extractor, code_of(extractor)
        self.latest: tuple[dict[str, Any], Reference] | None = None

    def reference(self, source: Source, protocol: EvalProtocol) -> Reference:
        """The statistics of a protocol's real images, on the device where scores are computed.

        Raises:
            UserError: there are fewer than two images, or one that cannot be read.
        """
        n = n_real(source.split(protocol.real_split), protocol)
        key = self.key("reference", source, protocol, n) | {"kept": self.KEPT}
        if self.latest is None or self.latest[0] != key:
            kept = min(n, self.KEPT)
            parts = self.known(key, partial(self.measure, source, protocol), lambda parts: is_reference(parts, kept))
            device = scoring_device(self.extractor.device)
            self.latest = key, Reference(**{name: part.to(device) for name, part in parts.items()})
        return self.latest[1]

    def class_features(self, source: Source, protocol: EvalProtocol) -> ClassFeatures:
        """Features, on the CPU, and labels of at most `MOST_LABELLED` of a protocol's real images.

        They are not measured again where `reference` has kept all these features.
        """
        dataset = source.split(protocol.real_split)
        indices = subset_indices(dataset, min(protocol.real or MOST_LABELLED, MOST_LABELLED))
        if len(indices) <= self.KEPT and isinstance(dataset, StoredSplit):
            return ClassFeatures(self.reference(source, protocol).features.cpu(), dataset.labels[indices])
        n = len(indices)
        key = self.key("real by class", source, protocol, n)
        measure = partial(self.measure_classes, source, protocol, indices)
        return ClassFeatures(**self.known(key, measure, lambda parts: are_class_features(parts, n)))

    def known(self, key: dict[str, Any], measure: Callable[[], Value], fits: Callable[[Value], bool]) -> Value:
        """What is measured, from the cache unless a change of the extractor would not be noticed there."""
        return measure() if self.code is None else cached(key, measure, fits)

    def key(self, kind: str, source: Source, protocol: EvalProtocol, n: int) -> dict[str, Any]:
        """Everything that features of n real images depend on, as the cache wants to know it."""
        return {
            "kind": kind,
            "data": source.name,
            "shape": list(source.shape),
            "split": protocol.real_split,
            "real": n,
            "fingerprint": source.split(protocol.real_split).fingerprint(),
        } | {**self.extractor.identity(), **(self.code or {})}

    def measure(self, source: Source, protocol: EvalProtocol) -> dict[str, Tensor]:
        """The parts of a `Reference`, on the CPU."""
        indices = subset_indices(source.split(protocol.real_split), protocol.real)
        if len(indices) < 2:
            raise UserError(
                f"data={source.name} has {len(indices)} image in its split '{protocol.real_split}', and metrics need "
                f"at least 2: set protocol.{protocol.name}.real_split to another one, or metrics=none."
            )
        moments, kept = None, []
        for pool, _ in self.look(source, protocol, indices):
            pool = to_scoring_device(pool)
            moments = moments or Moments.none(pool.shape[1], pool.device)
            moments.add(pool)
            if len(kept) * protocol.batch_size < self.KEPT:
                kept.append(pool)
        features = torch.cat(kept)[: self.KEPT]
        if not features.isfinite().all():
            raise UserError(f"{path_of(self.extractor)}.see gives real images features that are not finite: mend it.")
        parts = {"mean": moments.mean(), "root": root(moments.covariance()), "features": features}
        return {name: part.cpu() for name, part in parts.items()}

    def measure_classes(self, source: Source, protocol: EvalProtocol, indices: Int[Tensor, " n"]) -> dict[str, Tensor]:
        """The parts of a `ClassFeatures`."""
        seen = [(pool.cpu(), labels) for pool, labels in self.look(source, protocol, indices, " by class")]
        pools, labels = zip(*seen, strict=True)
        return {"features": torch.cat(pools), "labels": torch.cat(labels)}

    def look(
        self, source: Source, protocol: EvalProtocol, indices: Int[Tensor, " n"], purpose: str = ""
    ) -> Iterator[tuple[Pool, Int[Tensor, " b"]]]:
        """Features and labels of real images, batch by batch, after a line in the log."""
        n, name = len(indices), self.extractor.prefix(source)
        alone = "for this run alone, as its class or a setting cannot be told from another"
        once = alone if self.code is None else "once for all runs"
        log.info(f"Measuring {n} real images with {name}{purpose}, {once}.")
        batches = read_batches(source.split(protocol.real_split), indices, protocol.batch_size)
        for images, labels in batches:
            yield self.extractor(images).pool, labels


PLAIN = (int, float, str, tuple, list, dict, set, Path, type(None), np.generic, torch.dtype, torch.device)
OF_EACH = {"training", "network", "prepared_for", "placed", "weights_hash"}
"""What every extractor has beside its settings."""


def code_of(extractor: Extractor) -> dict[str, Any] | None:
    """What tells the features of an extractor of one's own from those of another: a hash of the files of its classes,
    and its settings, those of its layers among them.

    Returns:
        {} for one of lit_gan's; None where not all of it can be told, as of a class in a notebook, which lies in no
        file, or of a setting that is an object of an unknown kind: its features must not be cached.
    """
    own = [kind for kind in type(extractor).mro() if issubclass(kind, Extractor) and not is_shipped(kind)]
    files = [Path(getattr(sys.modules.get(kind.__module__), "__file__", None) or "") for kind in own]
    names = [name for name in vars(extractor) if not name.startswith("_") and name not in OF_EACH]
    settings = {name: getattr(extractor, name) for name in names}
    if not own:
        return {}
    if not all(file.is_file() for file in files) or not all(isinstance(each, PLAIN) for each in settings.values()):
        return None
    layers = {name: layer for name, layer in extractor.named_children() if name not in OF_EACH}
    told = {name: repr(value) for name, value in (settings | layers).items()}
    return {"code": hashed(file.read_bytes() for file in files), "settings": told}


def n_real(dataset: StoredSplit | ImageFiles, protocol: EvalProtocol) -> int:
    """How many real images of a split a protocol takes."""
    return min(protocol.real or len(dataset), len(dataset))


def is_reference(parts: dict[str, Tensor], kept: int) -> bool:
    """Whether parts that were read are those of a `Reference` that keeps so many features."""
    if parts.keys() != {"mean", "root", "features"}:
        return False
    _, width = parts["features"].shape
    shapes = {"mean": (width,), "root": (width, width), "features": (kept, width)}
    return all(parts[name].shape == shape for name, shape in shapes.items())


def are_class_features(parts: dict[str, Tensor], n: int) -> bool:
    """Whether parts that were read are those of a `ClassFeatures` of n images."""
    return parts.keys() == set(ClassFeatures._fields) and all(len(part) == n for part in parts.values())
