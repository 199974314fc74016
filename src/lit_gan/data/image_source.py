"""Sets of pictures, each brought to one size: in memory, packed, or decoded on access."""

import logging
import math
from collections.abc import Sequence
from typing import Annotated

from lit_gan.data.packed import packed
from lit_gan.data.source import ImageFiles, Source, StoredSplit, UndecodedImages, decode
from lit_gan.errors import UserError
from lit_gan.ranges import Count, CountOrNone, HowRead, NonNegative, Switch, Whole, checked

log = logging.getLogger(__name__)

MemoryLimit = Annotated[NonNegative, HowRead()]
Packing = Annotated[Switch, HowRead()]


class ImageSource(Source):
    """A data set of pictures that are brought to one size.

    Args:
        image_size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        shape: (channels, image_size, image_size), spelt out for the networks' configs.
        pad: black pixels added on every side before resizing.
        in_memory: the most bytes that a decoded split may take in memory.
        pack: whether a larger split is decoded once for all runs, into the cache folder; False
            decodes each of its images whenever it is needed.
    """

    @checked
    def __init__(
        self,
        name: str,
        image_size: Count,
        channels: Count,
        shape: Sequence[int],
        n_classes: CountOrNone,
        in_memory: MemoryLimit,
        pad: Whole = 0,
        pack: Packing = False,
    ):
        super().__init__(name, shape, n_classes)
        self.in_memory, self.pad, self.pack = in_memory, pad, pack
        if channels not in (1, 3):
            raise UserError(f"data.channels={channels} is not possible: use 1 for grey or 3 for colour.")
        if self.shape != (channels, image_size, image_size):
            raise UserError(
                f"data.shape={list(self.shape)} contradicts data.channels={channels} and "
                f"data.image_size={image_size}: set these two, the shape follows."
            )

    def files(self, pictures: UndecodedImages) -> ImageFiles:
        """The pictures at this data set's size, decoded on access."""
        return ImageFiles(pictures, self.shape, self.n_classes is not None, self.pad)

    def stored(self, files: ImageFiles, skip_broken: bool = False) -> StoredSplit | ImageFiles:
        """The split in memory if it takes no more than `in_memory` bytes, else packed, else as it is.

        Args:
            skip_broken: whether images that cannot be decoded are left out of a packed split.

        Raises:
            BrokenImage: for one of those images, where it is not left out.
            UserError: there is no room for a pack.
        """
        if self.fits_into_memory(len(files)):
            log.info("data=%s: decoding %d images", self.name, len(files))
            return decode(files)
        if self.pack:
            return packed(files, self.name, skip_broken)
        log.info("data=%s: %d images, decoded whenever they are needed", self.name, len(files))
        return files

    def fits_into_memory(self, n: int) -> bool:
        """Whether n decoded images take no more than `in_memory` bytes."""
        return n * math.prod(self.shape) <= self.in_memory
