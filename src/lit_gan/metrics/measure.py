"""One evaluation, from a generator, a suite of metrics and a protocol to a record."""

import json
import time
from typing import Any

from lit_gan.data import Source
from lit_gan.errors import UserError, path_of
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.base import ByClass
from lit_gan.metrics.classes import class_means
from lit_gan.module import GAN
from lit_gan.sampling import Sampler
from lit_gan.system.processes import as_the_first


def measure(
    gan: GAN,
    suite: Suite,
    source: Source,
    protocol: EvalProtocol,
    update: int,
    checkpoint: str,
    by_class: bool = False,
) -> dict[str, Any]:
    """Scores a GAN, as it is in the first process, under a protocol; all processes must call.

    Args:
        by_class: also scores each class by itself, where G looks at labels.

    Returns:
        The record that `Results` describes.
    """
    start = time.perf_counter()
    draw = shared_sampler(gan, protocol)
    scores = suite.evaluate(draw, source, protocol, gan.device)
    classes = suite.by_class(draw, source, protocol) if by_class else {}
    scores |= class_means(classes, suite.prefix(source))
    of_the_game = {"update": update, "checkpoint": checkpoint, **which_weights(gan, protocol)}
    return of_the_game | with_facts(scores, classes, suite, source, protocol, start)


def with_facts(
    scores: dict[str, float],
    classes: ByClass,
    suite: Suite,
    source: Source,
    protocol: EvalProtocol,
    start: float,
) -> dict[str, Any]:
    """The part of a record that is the same whatever the samples are from: scores with the facts
    without which they cannot be compared.

    Args:
        start: of the measurement, by `time.perf_counter`.
    """
    caveats = suite.caveats(source, protocol, classes)
    return {
        "scores": scores,
        "ends": suite.ends(scores),
        "classes": classes,
        "protocol": as_recorded(suite, source, protocol),
        "caveats": {name: reason for name, reason in caveats.items() if name in scores},
        "seconds": time.perf_counter() - start,
    }


def shared_sampler(gan: GAN, protocol: EvalProtocol) -> Sampler:
    """A stream of samples that is the same in every process: G has the weights of the first one."""
    draw = Sampler(gan.generator(protocol.ema), protocol.seed, protocol.batch_norm, protocol.truncation)
    for tensor in (*draw.G.parameters(), *draw.G.buffers()):
        as_the_first(tensor.data)  # a layer of somebody's own may keep what its process alone has seen
    return draw


def which_weights(gan: GAN, protocol: EvalProtocol) -> dict[str, Any]:
    """Whether a protocol scores G's own weights or their average, and how that is made."""
    if gan.generator(protocol.ema) is gan.G:
        return {"weights": "raw", "ema": None}
    return {"weights": "ema", "ema": gan.G_ema.describe()}


def as_recorded(suite: Suite, source: Source, protocol: EvalProtocol) -> dict[str, Any]:
    """The protocol as it is used, in the form in which a record of it is read back.

    Raises:
        UserError: the suite describes it by what no record can hold.
    """
    try:
        return json.loads(json.dumps(suite.describe(source, protocol)))
    except TypeError as error:
        raise UserError(
            f"{path_of(suite)}.describe returns what no record can hold ({error}): let it return numbers, words, and "
            f"lists and dicts of these."
        ) from error
