"""What a data set is: a name, a shape and splits of uint8 images, in memory or decoded on access."""

import hashlib
import logging
import math
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from lit_gan.data.scale import to_unit
from lit_gan.errors import UserError

log = logging.getLogger(__name__)


class BrokenImage(UserError):
    """An image file that cannot be decoded."""

    def __init__(self, message: str):
        # A DataLoader's worker passes its errors on with the traceback as their message: the sentence is its end.
        super().__init__(message.rpartition("BrokenImage: ")[2].strip())


class Pictures(Protocol):
    """Undecoded images: a sequence of (PIL image, label), which may raise `BrokenImage`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]: ...


class Images(Dataset):
    """A split in memory: `images` [n, *shape], uint8 (points: float32), and int64 `labels` [n], zeros if none.

    Where a source has `samples` of its own, what it stores is for that to read.
    """

    def __init__(self, images: Tensor, labels: Int[Tensor, " n"] | None = None):
        self.images = images
        self.labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])

    def fingerprint(self) -> str:
        """A hash of the images and labels: the same bytes, the same string."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(f"{tuple(self.images.shape)} {self.images.dtype}".encode(), digest_size=16)
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy())
        return digest.hexdigest()


class ImageFiles(Dataset):
    """A split decoded on access, for what does not fit into memory.

    Args:
        pictures: the undecoded images.
        shape: (channels, size, size) to which each is brought by `fit`.
        labelled: whether the pictures' labels are passed on; otherwise they are 0.
        identity: what distinguishes this data from any other, for the fingerprint: names, sizes and times of the files.
        pad: see `fit`.
    """

    def __init__(self, pictures: Pictures, shape: tuple[int, ...], labelled: bool, identity: str, pad: int = 0):
        self.pictures, self.shape, self.labelled, self.identity, self.pad = pictures, shape, labelled, identity, pad

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[UInt8[Tensor, "c h w"], int]:
        image, label = self.pictures[int(index)]
        channels, size, _ = self.shape
        return fit(image, channels, size, self.pad), int(label) if self.labelled else 0

    def fingerprint(self) -> str:
        """A hash of `identity` and of how the pictures are decoded."""
        key = f"{self.identity} {len(self)} {tuple(self.shape)} {self.labelled} {self.pad}"
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def fit(image: Image.Image, channels: int, size: int, pad: int = 0) -> UInt8[Tensor, "c s s"]:
    """One image as pixels: padded with `pad` black pixels, cut to its centre square, resized to `size`.

    The filter is bilinear with antialiasing; an image that has the right size already keeps its pixels. Grey for
    1 channel, RGB for 3. Transparency is laid over white; 16-bit grey keeps its upper 8 bits.
    """
    if image.mode.startswith("I"):
        numbers = np.asarray(image)
        deep = image.mode != "I" or numbers.max() > 255
        image = Image.fromarray((numbers >> 8 * deep).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if pad:
        image = ImageOps.expand(image, pad)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).view(size, size, channels).permute(2, 0, 1).contiguous()


def decode(files: ImageFiles) -> Images:
    """All images of a split, decoded by a pool of threads.

    Raises:
        BrokenImage: for the first image that cannot be decoded.
    """
    n = len(files)
    images, labels = torch.empty(n, *files.shape, dtype=torch.uint8), torch.empty(n, dtype=torch.int64)

    def fill(start: int) -> None:
        for i in range(start, min(start + 64, n)):
            images[i], labels[i] = files[i]

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(0, n, 64)))
    return Images(images, labels)


class Source:
    """A data set with named splits; each is loaded once, when it is first asked for.

    Args:
        name: as in `data=name`.
        shape: of one sample: (channels, height, width), (2,) for points, (characters, length) for text.
        n_classes: number of classes, or None for data without labels.
    """

    splits: Collection[str] = ("train",)
    """The names of the splits; there is always a "train"."""

    def __init__(self, name: str, shape: Sequence[int], n_classes: int | None):
        self.name, self.shape, self.n_classes = name, tuple(shape), n_classes
        self._loaded: dict[str, Images | ImageFiles] = {}

    def split(self, which: str) -> Images | ImageFiles:
        """The split of that name.

        Raises:
            UserError: if there is none, or if its files are missing.
        """
        if which not in self.splits:
            raise UserError(f"data={self.name} has no split {which!r}: choose from {', '.join(self.splits)}.")
        if which not in self._loaded:
            self._loaded[which] = self.load(which)
        return self._loaded[which]

    def load(self, which: str) -> Images | ImageFiles:
        """Read one split."""
        raise NotImplementedError

    def samples(self, stored: Tensor) -> Tensor:
        """What the networks see [b, *shape] of stored samples: pixels in [-1, 1], points as they are."""
        return to_unit(stored) if stored.dtype == torch.uint8 else stored

    def lines(self, samples: Tensor) -> list[str] | None:
        """Samples [b, *shape] as text, one line each; None for what is looked at, not read."""
        return None


class ImageSource(Source):
    """A data set of pictures that are brought to one size.

    Args:
        image_size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        shape: (channels, image_size, image_size), spelt out for the networks' configs.
        pad: black pixels added on every side before resizing.
        in_memory: the most bytes that a decoded split may take; a larger one is decoded on access.
    """

    def __init__(
        self,
        name: str,
        image_size: int,
        channels: int,
        shape: Sequence[int],
        n_classes: int | None,
        in_memory: int,
        pad: int = 0,
    ):
        super().__init__(name, shape, n_classes)
        self.in_memory, self.pad = in_memory, pad
        if channels not in (1, 3):
            raise UserError(f"data.channels={channels} is not possible: use 1 for grey or 3 for colour.")
        if self.shape != (channels, image_size, image_size):
            raise UserError(
                f"data.shape={list(self.shape)} contradicts data.channels={channels} and "
                f"data.image_size={image_size}: set these two, the shape follows."
            )

    def files(self, pictures: Pictures, identity: str) -> ImageFiles:
        """The pictures at this data set's size, decoded on access."""
        return ImageFiles(pictures, self.shape, self.n_classes is not None, identity, self.pad)

    def in_memory_if_small(self, files: ImageFiles) -> Images | ImageFiles:
        """The split decoded, if that takes no more than `in_memory` bytes."""
        if len(files) * math.prod(self.shape) > self.in_memory:
            return files
        log.info("data=%s: decoding %d images", self.name, len(files))
        return decode(files)
