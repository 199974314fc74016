"""Which of the generated images each score looks at, drawn before the first of them is made.

Without that, all their features and logits would have to be kept until the last one has come.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lit_gan.metrics.protocol import EvalProtocol


class Subset(NamedTuple):
    """Images of both kinds, by their numbers, between which KID is measured."""

    real: Int[Tensor, " s"]
    generated: Int[Tensor, " s"]


class ChosenImages(NamedTuple):
    """The generated images of one evaluation that each score looks at."""

    kept: Bool[Tensor, " n"]
    """For each image, whether KID or the scores of nearest neighbours need its features."""
    subsets: list[Subset]
    """KID's, where the number of a generated image counts those that are kept."""
    parts: Int[Tensor, " m"]
    """For each image of IS, the number of its part."""


def chosen_images(protocol: EvalProtocol, real: int) -> ChosenImages:
    """The choice of a protocol, from torch's global random numbers.

    Args:
        real: how many real images' features there are.
    """
    subsets = random_subsets(real, protocol.generated, protocol.kid_subsets, protocol.kid_subset_size)
    kept = torch.arange(protocol.generated) < protocol.precision_recall
    for subset in subsets:
        kept[subset.generated] = True
    numbers = kept.cumsum(0) - 1
    subsets = [Subset(subset.real, numbers[subset.generated]) for subset in subsets]
    return ChosenImages(kept, subsets, random_parts(protocol.inception_score, protocol.splits))


def random_subsets(real: int, generated: int, count: int, size: int) -> list[Subset]:
    """Subsets of so many images of either kind, fewer where there are fewer.

    They are drawn in the order in which torchmetrics draws them, so that both give the same KID
    from one seed.
    """
    size = min(size, real, generated)
    return [Subset(*(torch.randperm(n)[:size].clone() for n in (real, generated))) for _ in range(count)]


def random_parts(n: int, count: int) -> Int[Tensor, " n"]:
    """For each of n images, its part: i of k holds the shuffled images from n i // k to n (i + 1) //
    k, as in the code of Salimans et al. 2016.

    There are no more parts than images.
    """
    count = min(count, n)
    sizes = torch.tensor([n * (i + 1) // count - n * i // count for i in range(count)])
    parts = torch.empty(n, dtype=torch.long)
    parts[torch.randperm(n)] = torch.arange(count).repeat_interleave(sizes)
    return parts
