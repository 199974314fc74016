"""For stacked digits: how many of the thousand modes G makes, and how evenly."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_gan.data import Source, to_uint8
from lit_gan.data.stacked import Stacked
from lit_gan.errors import UserError
from lit_gan.metrics.base import Suite
from lit_gan.metrics.classifier import Classifier
from lit_gan.metrics.protocol import EvalProtocol
from lit_gan.metrics.sharing import Draw, look_at_all


class StackedModes(Suite):
    """Modes among the generated stacks, and the KL divergence of their frequencies from the data's.

    Every channel is read by the classifier of the stacked set, as Metz et al. 2017, section 3.3.1,
    and Srivastava et al. 2017 (VEEGAN), section 5.2, do. Scores: `<data>/held`, 1 to 1000, and
    `<data>/kl` in nats. Even a perfect generator has a KL of about 500 / n for n samples.

    Args:
        classifier: tells the digit in one channel.
    """

    SCORES: ClassVar = {"held": "max", "kl": "min"}

    def __init__(self, classifier: Classifier):
        self.classifier = classifier

    def prefix(self, source: Source) -> str:
        """The data set's name."""
        return source.name

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Loads the classifier of the base set, or trains it once.

        Raises:
            UserError: the data are not stacked.
        """
        if not isinstance(source, Stacked):
            raise UserError(
                f"metrics=stacked counts the modes of stacked images, and data={source.name} has none: "
                f"set data=stacked_digits, or choose other metrics."
            )
        self.classifier.prepare(source.base, device)

    def measure_real(self, source: Stacked, protocol: EvalProtocol) -> None:
        """Counts the digits of a protocol's split.

        Raises:
            UserError: they cannot be read.
        """
        expected(source, protocol.real_split)

    def compute(
        self, draw: Draw, source: Stacked, protocol: EvalProtocol, device: torch.device | str
    ) -> dict[str, float]:
        """The scores of `protocol.generated` images."""
        modes = look_at_all(draw, protocol.batches(protocol.generated), lambda x: self.modes(to_uint8(x)))
        kl = kl_divergence(modes, expected(source, protocol.real_split))
        return {"held": float(len(modes.unique())), "kl": kl}

    def modes(self, images: Tensor) -> Int[Tensor, " n"]:
        """The numbers 100 r + 10 g + b that the classifier sees in images, uint8 [n, 3, h, w]."""
        digits = self.classifier(images.flatten(0, 1)[:, None]).logits.argmax(1).cpu()
        return digits.view(-1, 3) @ torch.tensor([100, 10, 1])

    def describe(self, source: Stacked, protocol: EvalProtocol) -> dict[str, Any]:
        """The protocol, the data with a hash of the single digits, and the classifier."""
        of_digits = super().describe(source.base, protocol)
        return of_digits | {"data": source.name} | self.classifier.identity()


def expected(source: Stacked, split: str) -> Float[Tensor, "1000"]:
    """The data's probability of every mode: the product of the frequencies of its digits."""
    share = torch.bincount(source.base.split(split).labels, minlength=10).double()
    share = share / share.sum()
    return torch.einsum("i,j,k->ijk", share, share, share).flatten()


def kl_divergence(modes: Int[Tensor, " n"], expected: Float[Tensor, " k"]) -> float:
    """KL divergence in nats of the modes' frequencies from the expected ones."""
    share = torch.bincount(modes, minlength=len(expected)).double() / len(modes)
    return (torch.xlogy(share, share) - torch.xlogy(share, expected)).sum().item()
