"""One evaluation: a generator, a suite of metrics and a protocol in, a record for `results.json` out."""

import time
from typing import Any

from lit_gan.data import Source
from lit_gan.metrics import Protocol
from lit_gan.metrics.classes import class_caveats, class_scores, means
from lit_gan.module import GAN
from lit_gan.processes import as_the_first
from lit_gan.sampling import Sampler


def measure(
    gan: GAN, suite: Any, source: Source, protocol: Protocol, update: int, checkpoint: str, by_class: bool = False
) -> dict[str, Any]:
    """Scores `gan`, in the state it has in the first process, under a protocol; all processes must call.

    Args:
        by_class: where G looks at labels, also within each class.

    Returns:
        The record that `Results` describes: scores, the whole protocol, why some scores cannot bear comparison, where
        the weights come from, seconds.
    """
    start = time.perf_counter()
    G = gan.sampler(protocol.ema)
    draw = Sampler(G, protocol.seed, protocol.batch_norm == "batch")
    for tensor in (*draw.G.parameters(), *draw.G.buffers()):
        as_the_first(tensor.data)  # running statistics are each process's own
    scores = suite.evaluate(draw, source, protocol, gan.device)
    classes = class_scores(draw, suite, source, protocol) if by_class else {}
    scores |= means(classes, suite.prefix(source))
    caveats = suite.caveats(source, protocol) | class_caveats(classes, suite, source, protocol)
    return {
        "update": update,
        "checkpoint": checkpoint,
        "weights": "raw" if G is gan.G else "ema",
        "ema": None if G is gan.G else gan.G_ema.describe(),
        "scores": scores,
        "classes": classes,
        "protocol": suite.describe(protocol, source),
        "caveats": {name: reason for name, reason in caveats.items() if name in scores},
        "seconds": time.perf_counter() - start,
    }
