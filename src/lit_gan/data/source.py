"""What a data set is: a name, a shape, and splits in memory or decoded on access."""

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import zip_longest
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from lit_gan.data.scale import to_unit
from lit_gan.errors import UserError, first_few, is_own, not_written, path_of
from lit_gan.ranges import Range

log = logging.getLogger(__name__)

SplitSeed = Annotated[int, Range(0, below=2**31)]
"""The seed of points or stacks; twice it, and one more, must be seeds too."""


class BrokenImage(UserError):
    """An image file that cannot be decoded."""

    def __init__(self, message: str):
        # A DataLoader raises the errors of its workers anew, with their traceback as the message,
        # which ends with the sentence.
        super().__init__(message.rpartition("BrokenImage: ")[2].strip())


class Header(NamedTuple):
    """What is known of an image before it is decoded: (width, height), and Pillow's name of its kind of pixels."""

    size: tuple[int, int]
    mode: str


class UndecodedImages(Protocol):
    """A sequence of undecoded images, as (PIL image, label); access may raise any exception."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]: ...

    def name(self, index: int) -> str:
        """What messages call an image."""
        ...

    def header(self, index: int) -> Header:
        """The size and the kind of an image; it may raise any exception."""
        ...

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for an image that cannot be decoded: it names the image and the way out."""
        ...

    def content(self) -> str:
        """A hash of what the images and labels are, wherever they lie."""
        ...


class DatasetPictures:
    """The images of a data set that another library reads, named by their numbers.

    Args:
        dataset: gives (PIL image, label).
        where: the words by which messages call the data set and its place.
    """

    SAMPLED = 2048

    def __init__(self, dataset: Sequence[tuple[Image.Image, Any]], where: str):
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise UserError(
                f"{where}: a {path_of(dataset)} has no length or no numbered images: make a list of what it gives."
            )
        self.dataset, self.where = dataset, where

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        given = self.dataset[index]
        if not isinstance(given, tuple | list) or len(given) != 2 or not isinstance(given[0], Image.Image):
            kinds = " and ".join(type(part).__name__ for part in given) if isinstance(given, tuple | list) else None
            raise TypeError(f"it is {kinds or type(given).__name__}, and must be (PIL image, label)")
        return given

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for an image that cannot be decoded; it names the data set and the image."""
        return BrokenImage(
            f"{self.where}: {self.name(index)} cannot be read ({reason}): mend it, or get the data set again."
        )

    def name(self, index: int) -> str:
        """The file of an image, or its number."""
        for names in ("filename", "samples"):  # CelebA has the one, ImageNet and other folders the other
            if names := getattr(self.dataset, names, None):
                return str(names[index][0] if isinstance(names[index], tuple) else names[index])
        return f"image {index}"

    def header(self, index: int) -> Header:
        """The size and the kind of an image."""
        image, _ = self[index]
        return Header(image.size, image.mode)

    def content(self) -> str:
        """A hash of about `SAMPLED` images at equal distances, and of their labels."""
        step = max(1, len(self) // self.SAMPLED)
        with ThreadPoolExecutor() as pool:
            return hashed(pool.map(self._bytes, range(0, len(self), step)))

    def _bytes(self, index: int) -> bytes:
        try:
            image, label = self[index]
            colours = [each for each in (image.getpalette("RGBA"), image.info.get("transparency")) if each is not None]
            return f"{image.mode} {image.size} {label} {colours or ''}".encode() + image.tobytes()
        except Exception as error:
            return repr(error).encode()


def hashed(parts: Iterable[bytes]) -> str:
    """A hash of byte strings, one after the other, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class StoredSplit(Dataset):
    """A split in memory: `images` [n, *shape] and int64 `labels` [n], which are 0 without labels.

    Images are uint8, points float32; a source that defines `samples` may store its images in any
    form which that method understands.
    """

    HASHED_AT_ONCE = 1024
    """The images that a fingerprint puts side by side in memory, where they lie otherwise."""

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
        for tensor in (*self.images.split(self.HASHED_AT_ONCE), self.labels):
            digest.update(tensor.contiguous().numpy())
        return digest.hexdigest()


Images = StoredSplit
"""The earlier name, which data sets of one's own may use."""


class ImageFiles(Dataset):
    """A split decoded on access, for what does not fit into memory.

    Args:
        pictures: the undecoded images.
        shape: (channels, size, size) to which each is brought by `as_pixels`.
        labelled: whether the pictures' labels are passed on; otherwise they are 0.
        pad: see `as_pixels`.
    """

    def __init__(self, pictures: UndecodedImages, shape: tuple[int, ...], labelled: bool, pad: int = 0):
        self.pictures, self.shape, self.labelled, self.pad = pictures, shape, labelled, pad

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[UInt8[Tensor, "c h w"], int]:
        """The pixels and the label of one image.

        Raises:
            BrokenImage: it does not come out as pixels of this shape, for whatever reason.
            IndexError: there is no image of that number.
        """
        index, (channels, size, _) = int(index), self.shape
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            image, label = self.pictures[index]
            return as_pixels(image, channels, size, self.pad), int(label) if self.labelled else 0
        except Exception as error:  # Pillow's decoders and converters raise nearly anything
            raise self.pictures.broken(index, f"{type(error).__name__}: {error}".removesuffix(": ")) from error

    def fingerprint(self) -> str:
        """A hash of the images' content and of how they are decoded, wherever they lie."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        how = f"{len(self)} {tuple(self.shape)} {self.labelled} {self.pad} whole pixels "
        return hashed([how.encode(), self.pictures.content().encode()])


def as_pixels(image: Image.Image, channels: int, size: int, pad: int = 0) -> UInt8[Tensor, "c s s"]:
    """One image as pixels: padded in black by `pad`, cut to its centre square, resized to `size`.

    The square consists of whole pixels: where the sides differ by an odd number, it lies half a
    pixel towards the upper left. The filter is bilinear with antialiasing; an image that has the
    right size already keeps its pixels. Grey for 1 channel, RGB for 3. Transparency is laid over
    white; of an animation it is the present frame.

    Raises:
        ValueError: the numbers in the image have no known scale, see `eight_bits`.
        Exception: whatever Pillow raises where it cannot convert an image.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        image = eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "LAB":
        image = image.convert("RGB")  # Pillow knows no way from there to grey
    image = image.convert("L" if channels == 1 else "RGB")
    if pad:
        image = ImageOps.expand(image, pad)
    image = centre_square(image, size)
    return torch.from_numpy(np.array(image)).view(size, size, channels).permute(2, 0, 1).contiguous()


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16- or 32-bit numbers with 8 bits: 16-bit grey keeps its upper 8 bits.

    In a file of 32-bit numbers these are shades of 256 if all are below that, else of 65,536. A PGM
    file of more than 256 shades, which Pillow scales to 65,536, has 32 bits only in memory.

    Raises:
        ValueError: they are negative or larger, so that nobody knows which is white.
    """
    numbers = np.asarray(image)
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most > 65_535:
        raise ValueError(f"its pixels are whole numbers from {least} to {most}, of no known scale: save it with 8 bits")
    deep = image.mode != "I" or image.format == "PPM" or most > 255
    return Image.fromarray((numbers >> 8 * deep).astype(np.uint8))


def centre_square(image: Image.Image, size: int) -> Image.Image:
    """The centre square of an image, resized to `size`."""
    side = min(image.size)
    left, upper = ((length - side) // 2 for length in image.size)
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR, (left, upper, left + side, upper + side))


def rows(x: Tensor, index: Int[Tensor, " b"]) -> Tensor:
    """x[index] as a tensor of its own, in the memory layout of x.

    On a CPU NumPy copies, in one thread. Torch's `index_select` joins all its threads after each
    image: where other processes compute on the same cores, 64 images took 2 s instead of 10 ms.
    """
    if x.is_contiguous() or x.dim() != 4:
        return gathered_rows(x, index)
    return gathered_rows(x.permute(0, 2, 3, 1), index).permute(0, 3, 1, 2)


def gathered_rows(x: Tensor, index: Int[Tensor, " b"]) -> Tensor:
    """x[index] for an x that lies in memory in the order of its axes."""
    if x.device.type == "cpu":
        return torch.from_numpy(x.numpy().take(index.numpy(), axis=0))
    return x.index_select(0, index)


def decode(files: ImageFiles) -> StoredSplit:
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
    return StoredSplit(images, labels)


def why_no_split(loaded: Any, with_labels: bool) -> str | None:
    """What is wrong with a split in memory, in words that follow "returns"; None where nothing is.

    Args:
        with_labels: whether the data set has classes, whose numbers the labels then are.
    """
    if not isinstance(loaded, StoredSplit):
        return (
            f"a {type(loaded).__name__}, but it must be a lit_gan.data.source.StoredSplit (or what an ImageSource's "
            f"self.stored makes of pictures that are read one by one)"
        )
    for name, value in (("images", loaded.images), ("labels", loaded.labels)):
        if not isinstance(value, Tensor):
            return f"{name} as a {type(value).__name__}, but they must be a tensor (torch.from_numpy makes one)"
    if len(loaded.labels) != len(loaded.images) or (with_labels and not are_class_numbers(loaded.labels)):
        kind = f"{str(loaded.labels.dtype).removeprefix('torch.')} labels of shape {[*loaded.labels.shape]}"
        return f"{kind}, but they must be whole numbers [{len(loaded.images)}], one for each image"
    if loaded.images.is_floating_point() and not loaded.images.isfinite().all():
        return "samples some of which are not finite numbers"
    return None


def why_no_samples(stored: Tensor) -> str | None:
    """What is wrong with the numbers of samples that are stored as networks take them; None where nothing is."""
    if stored.dtype == torch.uint8:
        return None
    if not stored.is_floating_point():
        kind = str(stored.dtype).removeprefix("torch.")
        return f"samples of {kind}, but images must be uint8 and points float32"
    if stored.dim() != 4 or not len(stored):
        return None
    least, most = (bound.item() for bound in stored.aminmax())
    if max(-least, most) > 1.001:  # some rounding is nobody's fault
        return f"images from {least:.4g} to {most:.4g}, but they must be uint8, or floats in [-1, 1]"
    return None


def half_a_range(stored: Tensor) -> str | None:
    """What is odd about the range of images that are stored as networks take them, whole sets of which are never that
    dark or that bright; None if nothing is."""
    if stored.dim() != 4 or not len(stored):
        return None
    least, most = (bound.item() for bound in stored.aminmax())
    if stored.dtype == torch.uint8:
        return f"uint8 images from {least} to {most}, and white is 255" if 0 < most <= 1 else None
    return f"float images from {least:.4g} to {most:.4g}, and black is -1" if 0 <= least < most <= 1 else None


def are_class_numbers(labels: Tensor) -> bool:
    """Whether each label is one whole number."""
    return labels.dim() == 1 and not labels.is_floating_point()


class Source:
    """A data set with named splits; each is loaded once, when it is first asked for.

    Args:
        name: as in `data=name`.
        shape: of one sample: (channels, height, width), (2,) for points, (characters, length) for
            text.
        n_classes: number of classes, or None for data without labels.
    """

    splits: Collection[str] = ("train",)
    """The names of the splits; there is always a "train"."""
    published: bool = False
    """Whether its name says which images it holds, so that the package may have a classifier of them."""
    before_found: Mapping[str, Any] = {"image_size": 1, "channels": 3, "n_classes": None}
    """The settings that can be "auto" in a config, and what they are until `found` says it."""
    set_by_constructor = "_loaded"
    """What only the constructor sets, by which one sees that a subclass has called it."""

    def __init__(self, name: str, shape: Sequence[int], n_classes: int | None):
        self.name, self.shape, self.n_classes = name, tuple(shape), n_classes
        self._loaded: dict[str, StoredSplit | ImageFiles] = {}

    @property
    def class_names(self) -> Sequence[str] | None:
        """The names of the classes in the order of their numbers; None where they have none."""
        return None

    def found(self, wanted: Collection[str]) -> dict[str, Any]:
        """Settings whose value is "auto", as the data say that they are.

        Raises:
            UserError: this data set cannot say.
        """
        raise UserError(f"data.{next(iter(wanted))}=auto is not found out for data={self.name}: set it to a number.")

    def require_names(self, names: Sequence[str] | None) -> None:
        """Refuses data whose classes differ, or are numbered otherwise, than those of a run.

        Args:
            names: of the run's classes; None where it has recorded none.

        Raises:
            UserError: names the first class that differs.
        """
        now = self.class_names
        if names is None or now is None or list(names) == list(now):
            return
        number = next(n for n, (old, new) in enumerate(zip_longest(names, now)) if old != new)
        before, here = (first_few(part[number : number + 1]) or "missing" for part in (names, now))
        raise UserError(
            f"data={self.name}: class {number} of the run is {before}, and of its data now {here}: give the class "
            f"folders back their names, or start a new run."
        )

    def split(self, which: str) -> StoredSplit | ImageFiles:
        """The split of that name.

        Raises:
            UserError: if there is none, or if its files are missing.
        """
        if which not in self.splits or isinstance(self.splits, str):
            raise UserError(self.no_split(which))
        if which not in self._loaded:
            self._loaded[which] = self.require_split(self.load(which))
        return self._loaded[which]

    def no_split(self, which: str) -> str:
        """The sentence about a split that is not there; every set must have "train"."""
        if which == "train":
            return (
                f"data={self.name}: {path_of(self)}.splits is {self.splits!r}, but it must be a tuple of names with "
                f"'train' among them, on which a run trains: correct it."
            )
        return f"data={self.name} has no split {which!r}: choose from {', '.join(self.splits)}."

    def require_split(self, loaded: Any) -> StoredSplit | ImageFiles:
        """What `load` has returned, as it is.

        Raises:
            UserError: it is no split, or not of samples as the data set says that they are.
        """
        wrong = None if isinstance(loaded, ImageFiles) else why_no_split(loaded, self.n_classes is not None)
        if not wrong and type(self).samples is Source.samples:  # else only that method knows how they are stored
            shape = loaded.shape if isinstance(loaded, ImageFiles) else loaded.images.shape[1:]
            wrong = None if tuple(shape) == self.shape else f"samples of shape {[*shape]}, not of {[*self.shape]}"
            wrong = wrong or (None if isinstance(loaded, ImageFiles) else why_no_samples(loaded.images))
        if wrong:
            raise UserError(f"data={self.name}: {path_of(self)}.load returns {wrong}: correct that method.")
        stored = isinstance(loaded, StoredSplit) and type(self).samples is Source.samples and is_own(type(self))
        if stored and (odd := half_a_range(loaded.images)):
            log.warning(f"data={self.name}: {path_of(self)}.load returns {odd}: stretch them, if that is not meant.")
        return loaded

    def load(self, which: str) -> StoredSplit | ImageFiles:
        """Reads one split; a subclass does it."""
        raise not_written(self, "load(which)")

    def samples(self, stored: Tensor) -> Tensor:
        """Stored samples as networks see them, [b, *shape]: pixels in [-1, 1], points unchanged."""
        return to_unit(stored) if stored.dtype == torch.uint8 else stored

    def lines(self, samples: Tensor) -> list[str] | None:
        """Samples [b, *shape] as text, one line each; None for data that are not text."""
        return None
