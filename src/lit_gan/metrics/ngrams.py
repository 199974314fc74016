"""For text: how far the frequencies of its n-grams are from the data's."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from lit_gan.data import Source
from lit_gan.data.text import Text
from lit_gan.errors import UserError
from lit_gan.metrics.base import Suite
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.reading import subset_indices
from lit_gan.metrics.sharing import Draw, look_at_all

Texts = Int[Tensor, "n l"]


class NGramMetrics(Suite):
    """Jensen-Shannon divergence of the frequencies of character n-grams.

    Gulrajani et al. 2017, `gan_language.py`.

    Scores: `ngrams/jsd<n>`, 0 if they agree, 1 (base 2) if generated and real text share none. The
    most probable character is taken at every position, and "`", which fills short sequences, counts
    as one. Finite samples raise the divergence, the more the larger n is: compare with `held_out`
    of `describe`, what real text gets.

    Args:
        sizes: the n; 1 to 4 in the authors' code, 4 and 6 in Heusel et al. 2017.

    Raises:
        UserError: a size below 1.
    """

    def __init__(self, sizes: Sequence[int] = (1, 2, 3, 4)):
        if not sizes or any(type(n) is not int or n < 1 for n in sizes):
            raise UserError(f"metrics.suite.sizes={list(sizes)} must be one or more whole numbers from 1 on.")
        self.sizes = list(sizes)
        self.SCORES = {f"jsd{n}": "min" for n in self.sizes}

    def prefix(self, source: Source) -> str:
        """Always "ngrams"."""
        return "ngrams"

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Checks the data.

        Raises:
            UserError: they are no text, or its sequences are shorter than an n-gram, or there are
                too many n-grams.
        """
        if not isinstance(source, Text):
            raise UserError(
                f"metrics=ngrams compares characters, and data={source.name} has none: set data=text, or choose other "
                f"metrics."
            )
        most = min(source.length, int(63 / math.log2(source.vocabulary)))  # an n-gram is one number of 63 bits
        if max(self.sizes) > most:
            raise UserError(
                f"metrics.suite.sizes={self.sizes} has more than {most}, the most for data.length={source.length} and "
                f"data.vocabulary={source.vocabulary}: leave out the larger ones."
            )

    def measure_real(self, source: Text, protocol: EvalProtocol) -> None:
        """Loads the real text of a protocol, and what is held out for comparison.

        Raises:
            UserError: it cannot be read.
        """
        for split in source.splits:
            source.split(split)

    def compute(self, draw: Draw, source: Text, protocol: EvalProtocol, device: torch.device | str) -> dict[str, float]:
        """The divergences of `protocol.generated` sequences from real ones, on the CPU.

        Of the samples [n, v, l], a score for every character at every position, the most probable
        characters count.
        """
        texts = look_at_all(draw, protocol.batches(protocol.generated), lambda samples: samples.argmax(1))
        return self.distances(texts, real_texts(source, protocol), source.vocabulary)

    def distances(self, one: Texts, other: Texts, vocabulary: int) -> dict[str, float]:
        """The divergence of two sets of sequences for every n."""
        return {f"jsd{n}": jensen_shannon(ngrams(one, n, vocabulary), ngrams(other, n, vocabulary)) for n in self.sizes}

    def describe(self, source: Text, protocol: EvalProtocol) -> dict[str, Any]:
        """The protocol, the data, and what real text of the other split scores.

        That is a tenth of the text or, if it is more, as many sequences as are generated.
        """
        real = real_texts(source, protocol)
        (other,) = set(source.splits) - {protocol.real_split}
        held_out = texts_of(source, other, protocol.generated)
        reference = {"sequences": len(held_out), **self.distances(held_out, real, source.vocabulary)}
        used = {"real": len(real), "sizes": self.sizes, "held_out": reference}
        return super().describe(source, protocol) | used


def texts_of(source: Text, split: str, n: int | None) -> Texts:
    """The characters of n sequences, always the same ones; all for None or too large an n."""
    texts = source.split(split)
    return texts.images[subset_indices(texts, n)]


def real_texts(source: Text, protocol: EvalProtocol) -> Texts:
    """The real text that a protocol compares with."""
    return texts_of(source, protocol.real_split, protocol.real)


def ngrams(texts: Texts, n: int, vocabulary: int) -> Int[Tensor, " m"]:
    """The n-grams at all positions of all texts, each as one number."""
    places = torch.tensor([vocabulary**k for k in range(n)])
    return (texts.long().unfold(1, n, 1) * places).sum(2).flatten()


def jensen_shannon(one: Int[Tensor, " m"], other: Int[Tensor, " k"]) -> float:
    """Jensen-Shannon divergence in bits of frequencies of numbers: 0 if equal, 1 if disjoint."""
    kinds, where = torch.cat([one, other]).unique(return_inverse=True)
    counts = [torch.bincount(part, minlength=len(kinds)).double() for part in where.split([len(one), len(other)])]
    p, q = (count / count.sum() for count in counts)
    mean = (p + q) / 2
    return (torch.xlogy(p, p / mean) + torch.xlogy(q, q / mean)).sum().item() / math.log(4)
