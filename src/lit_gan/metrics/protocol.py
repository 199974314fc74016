"""What exactly is measured: the numbers that must agree before two scores can be compared."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from lit_gan.ranges import AtLeastTwo, BatchStatistics, Count, Range, Seed, Switch, argument_ranges, require


@dataclass(frozen=True)
class EvalProtocol:
    """One way to evaluate a generator, which is stored with every score.

    Raises:
        UserError: a number that no evaluation can be made with.
    """

    name: str
    """Of the protocol, as in `protocol=NAME`."""
    generated: AtLeastTwo
    """Generated images for all scores but IS."""
    inception_score: Count
    """Generated images for IS, in all `splits` together."""
    splits: Count
    """Parts of which IS is the mean."""
    real_split: Literal["train", "test"]
    """The part of the data set that the real images are taken from."""
    real: Annotated[int | None, Range(2)]
    """Real images, a fixed random choice; None or more than there are: all."""
    kid_subsets: Count
    """Subsets of which KID is the mean; their real images come from at most 10,000."""
    kid_subset_size: AtLeastTwo
    """Images in one subset of KID; fewer where there are fewer images."""
    precision_recall: AtLeastTwo
    """Images of either kind for precision, recall, density and coverage, at most 10,000."""
    neighbours: Count
    """The k of precision, recall, density and coverage."""
    batch_size: Count
    """Images that are generated and looked at together."""
    batch_norm: BatchStatistics
    """G's batch normalisation: its running statistics, those of each batch, or the mean of those of batches drawn for
    it."""
    ema: Switch
    """The moving average of G's weights, where there is one."""
    seed: Seed
    """Of the latent vectors, of IS's splits and of KID's subsets."""
    truncation: Annotated[float | None, Range(above=0)] = None
    """The largest absolute value of a normal latent variable or, of a generator with styles (StyleGAN2), the share of
    their way from the mean style; None for any."""

    def __post_init__(self):
        for name, allowed in argument_ranges(EvalProtocol).items():
            require(f"protocol.{self.name}.{name}", getattr(self, name), allowed)

    def facts(self) -> dict[str, Any]:
        """Its settings as records have them; those from before there was a truncation say nothing of
        it."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("truncation", None)}

    def with_generated(self, n: int) -> "EvalProtocol":
        """The protocol with n generated images for every score."""
        return replace(self, generated=n, inception_score=n)

    def batches(self, total: int) -> list[int]:
        """The sizes of the batches that `total` images are made in; the last one may be smaller."""
        return [min(self.batch_size, total - start) for start in range(0, total, self.batch_size)]
