"""One evaluation: a generator, a suite of metrics and a protocol in, a record for `results.json` out."""

import time
from typing import Any

from lit_gan.data import Source
from lit_gan.metrics import Protocol
from lit_gan.module import GAN
from lit_gan.sampling import Sampler


def measure(gan: GAN, suite: Any, source: Source, protocol: Protocol, update: int, checkpoint: str) -> dict[str, Any]:
    """Scores `gan` under a protocol.

    Returns:
        The record that `Results` describes: scores, the whole protocol, where the weights come from, seconds.
    """
    start = time.perf_counter()
    G = gan.sampler(protocol.ema)
    draw = Sampler(G, protocol.seed, protocol.batch_norm == "batch", source.n_classes or 1)
    scores = suite.evaluate(draw, source, protocol, gan.device)
    return {
        "update": update,
        "checkpoint": checkpoint,
        "weights": "raw" if G is gan.G else "ema",
        "scores": scores,
        "protocol": suite.describe(protocol, source),
        "seconds": time.perf_counter() - start,
    }
