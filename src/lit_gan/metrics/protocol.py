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
    generated: int
    """Generated images for FID, KID, precision and recall."""
    inception_score: int
    """Generated images for IS, in all `splits` together."""
    splits: int
    """Parts that the images for IS are cut into; IS is the mean over them."""
    real_split: Literal["train", "test"]
    real: int | None
    """Real images, a fixed random choice of the split; all of them for None, or for more than there are."""
    kid_subsets: int
    kid_subset_size: int
    """Images in one subset of KID; fewer where there are fewer images."""
    precision_recall: int
    """Images of either kind for precision and recall, at most `RealFeatures.KEPT`."""
    neighbours: int
    """The k of precision and recall, whose balls reach to the k-th nearest neighbour."""
    batch_size: int
    """Images that are made, or read, and looked at together."""
    batch_norm: Literal["running", "batch"]
    """The statistics that G's batch normalisation uses: the running ones, or those of each batch."""
    ema: bool
    """Whether the moving average of G's weights is scored, where there is one."""
    seed: int
    """Seeds the latent vectors, the parts of IS and the subsets of KID."""

    def __post_init__(self):
        for field in fields(self):
            self.require_enough(field.name, getattr(self, field.name))
        self.require_one_of("batch_norm", ("running", "batch"))
        self.require_one_of("real_split", ("train", "test"))

    def require_enough(self, name: str, value: int | str | None) -> None:
        """Refuses a number with which nothing can be measured.

        Raises:
            UserError: it is smaller than 1, or than 2 where a spread or a distance is measured.
        """
        least = 2 if name in ("generated", "real", "kid_subset_size", "precision_recall") else 1
        if isinstance(value, int) and value < least and name not in ("ema", "seed"):
            raise UserError(f"protocol.{self.name}.{name}={value} is too small: it must be at least {least}.")

    def require_one_of(self, name: str, known: tuple[str, ...]) -> None:
        """Refuses another word than those that are known.

        Raises:
            UserError: names them.
        """
        if getattr(self, name) not in known:
            choices = " or ".join(known)
            raise UserError(f"protocol.{self.name}.{name}={getattr(self, name)} does not exist: choose {choices}.")

    def with_generated(self, n: int) -> "EvalProtocol":
        """The protocol with n generated images for every score."""
        return replace(self, generated=n, inception_score=n)

    def batches(self, total: int) -> list[int]:
        """The sizes of the batches that `total` images are made in; the last one may be smaller."""
        return [min(self.batch_size, total - start) for start in range(0, total, self.batch_size)]
