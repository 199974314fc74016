"""What exactly is measured: the numbers that must agree before two scores can be compared."""

from dataclasses import dataclass, fields, replace
from typing import Literal

from lit_gan.errors import UserError


@dataclass(frozen=True)
class EvalProtocol:
    """One way to evaluate a generator, which is stored with every score.

    Raises:
        UserError: a number that no evaluation can be made with.
    """

    name: str
    """Of the protocol, as in `protocol=NAME`."""
    generated: int
    """Generated images for FID, KID, precision and recall."""
    inception_score: int
    """Generated images for IS, in all `splits` together."""
    splits: int
    """Parts of which IS is the mean."""
    real_split: Literal["train", "test"]
    """The part of the data set that the real images are taken from."""
    real: int | None
    """Real images, a fixed random choice; None or more than there are: all."""
    kid_subsets: int
    """Subsets of which KID is the mean."""
    kid_subset_size: int
    """Images in one subset of KID; fewer where there are fewer images."""
    precision_recall: int
    """Images of either kind for precision and recall, at most 10,000."""
    neighbours: int
    """The k of precision and recall."""
    batch_size: int
    """Images that are generated and looked at together."""
    batch_norm: Literal["running", "batch"]
    """G's batch normalisation: its running statistics, or those of each batch."""
    ema: bool
    """The moving average of G's weights, where there is one."""
    seed: int
    """Of the latent vectors, of IS's splits and of KID's subsets."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            least = 2 if field.name in ("generated", "real", "kid_subset_size", "precision_recall") else 1
            if isinstance(value, int) and value < least and field.name not in ("ema", "seed"):
                raise UserError(f"protocol.{self.name}.{field.name}={value} is too small: it must be at least {least}.")
        for key, known in {"batch_norm": ("running", "batch"), "real_split": ("train", "test")}.items():
            if getattr(self, key) not in known:
                choices = " or ".join(known)
                raise UserError(f"protocol.{self.name}.{key}={getattr(self, key)} does not exist: choose {choices}.")

    def with_generated(self, n: int) -> "EvalProtocol":
        """The protocol with n generated images for every score."""
        return replace(self, generated=n, inception_score=n)

    def batches(self, total: int) -> list[int]:
        """The sizes of the batches that `total` images are made in; the last one may be smaller."""
        return [min(self.batch_size, total - start) for start in range(0, total, self.batch_size)]
