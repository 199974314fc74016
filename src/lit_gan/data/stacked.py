"""Three grey digits as one colour image: a thousand modes that can be counted.

Metz et al. 2017, section 3.3.1.
"""

from collections.abc import Collection, Sequence

import torch

from lit_gan.data.source import ImageFiles, Source, SplitSeed, StoredSplit, decode
from lit_gan.errors import UserError
from lit_gan.ranges import Count, checked


class Stacked(Source):
    """n images whose colours are three random images of another set.

    The label is 100 r + 10 g + b, where r, g and b are the labels of the three.

    Args:
        n_classes: 1000, one for each triple of digits.
        base: the grey set of ten classes whose images are stacked.
        n: images per split.
        seed: decides which images are stacked; the splits differ if those of the base do.

    Raises:
        UserError: a base that is not grey or does not have ten classes.
    """

    @checked
    def __init__(self, name: str, shape: Sequence[int], n_classes: Count, base: Source, n: Count, seed: SplitSeed):
        super().__init__(name, shape, n_classes)
        if base.shape[0] != 1 or base.n_classes != 10:
            raise UserError(
                f"data={name} stacks grey images of ten classes, and data.base={base.name} has none: "
                f"use digits, mnist or fashion_mnist as its base."
            )
        self.base, self.n, self.seed = base, n, seed

    @property
    def splits(self) -> Collection[str]:
        """The splits of the base set."""
        return self.base.splits

    def load(self, which: str) -> StoredSplit:
        """One split of stacks, in memory."""
        singles = self.base.split(which)
        singles = decode(singles) if isinstance(singles, ImageFiles) else singles
        chosen = torch.randint(len(singles), (self.n, 3), generator=torch.Generator().manual_seed(self.seed))
        images = singles.images[chosen].flatten(1, 2)
        return StoredSplit(images, singles.labels[chosen] @ torch.tensor([100, 10, 1]))
