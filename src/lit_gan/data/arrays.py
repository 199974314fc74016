"""Images in arrays: files of NumPy and of HDF5."""

import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lit_gan.data.handles import OwnHandle
from lit_gan.data.image_source import MemoryLimit, Packing
from lit_gan.data.own_images import OwnImages, class_numbers, number_of_classes
from lit_gan.data.source import BrokenImage, Header, ImageFiles, StoredSplit, hashed
from lit_gan.errors import UserError, one_line, written
from lit_gan.ranges import CountAutoOrNone, CountOrAuto, PathOrNone, checked
from lit_gan.records.paths import absolute

CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
"""The numbers of channels that an image may have, as Pillow calls them."""


class ArrayImages(OwnImages):
    """Images in the arrays of a file: .npy, a single array, or .npz, arrays with names.

    Images are [n, height, width], [n, height, width, channels] or [n, channels, height, width], the
    channels being 1, 3 or 4, of which the fourth is opacity. Each is cut to its centre square and
    resized, as an image in a file is.

    Args:
        file: the file.
        images: the name of the array of training images; None for the only one that can be images.
        labels: the name of their labels, whole numbers [n]; None for the only array that can be
            labels.
        test_images: the name of the images of the split "test"; None for no such split.
        test_labels: the name of their labels.
        range: (black, white), the numbers between which pixels lie, for arrays that are not uint8,
            as [0, 1] or [-1, 1]; None for uint8.
    """

    KIND = "a file .npy or .npz of numbers"
    """What `read` reads, for messages."""

    @checked
    def __init__(
        self,
        name: str,
        image_size: CountOrAuto,
        channels: CountOrAuto,
        shape: Sequence[int],
        n_classes: CountAutoOrNone,
        file: PathOrNone,
        images: str | None,
        labels: str | None,
        test_images: str | None,
        test_labels: str | None,
        range: Sequence[float] | None,
        in_memory: MemoryLimit,
        pack: Packing,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory, pack=pack)
        self.file = None if file is None else Path(absolute("data.file", file))
        self.names = {"train": (images, labels), "test": (test_images, test_labels)}
        self.splits = ("train",) if test_images is None else ("train", "test")
        self.range = None if range is None else checked_range(range)

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """The arrays of the file by their names.

        Raises:
            UserError: there is no file, or it cannot be read.
        """
        if self.file is None:
            raise UserError(f"data={self.name} needs the file that holds the images: set data.file=FILE.")
        try:
            return self.read(self.file)
        except UNREADABLE as error:
            raise UserError(f"data.file={self.file} cannot be read ({why(error)}): name {self.KIND}.") from error

    def read(self, file: Path) -> Mapping[str, Any]:
        """The arrays of a file of NumPy by their names."""
        return numpy_arrays(file)

    def images_of(self, which: str) -> tuple[str, Any]:
        """The name of the array of a split's images, and the array.

        Raises:
            UserError: there is none, or it is unclear which it is.
        """
        (name, _), taken = self.names[which], self.names["test"][0]
        fitting = [key for key, array in self.arrays.items() if may_be_images(array) and key != taken]
        if name is None and len(fitting) != 1:
            raise self.unclear(f"data.images={fitting[0] if fitting else 'NAME'}", "images")
        name = fitting[0] if name is None else name
        array = self.named("images" if which == "train" else "test_images", name)
        if not may_be_images(array):
            raise self.unclear("data.images=NAME", f"images in {name}")
        return name, array

    def named(self, setting: str, name: str) -> Any:
        """The array of a name.

        Raises:
            UserError: the file has none.
        """
        if name not in self.arrays:
            raise UserError(
                f"data.{setting}={name}: data.file={self.file} has no such array, but {self.listing()}: name one."
            )
        return self.arrays[name]

    def unclear(self, setting: str, what: str) -> UserError:
        """The error for a file in which it is unclear where something lies."""
        return UserError(
            f"data.file={self.file} does not say which of its arrays are {what}, [n, height, width], "
            f"[n, height, width, channels] or [n, channels, height, width] with 1, 3 or 4 channels: it has "
            f"{self.listing()}, so set {setting}."
        )

    def listing(self) -> str:
        """The arrays of the file with their types and shapes."""
        return listing(self.arrays)

    def labels_of(self, which: str) -> np.ndarray | None:
        """The labels of a split's images; None where there are none.

        Raises:
            UserError: it is unclear which they are, or there are more or fewer than images.
        """
        key, images = self.images_of(which)
        name = self.names[which][1]
        if name is None and which == "test":
            return None
        if name is None and (name := self.only_labels(len(images))) is None:
            return None
        labels = self.read_labels(name, self.named("labels" if which == "train" else "test_labels", name))
        if labels.shape[:1] != (len(images),):
            raise UserError(
                f"data.file={self.file} has {len(images)} images in {key}, and labels {list(labels.shape)} in {name}: "
                f"name those that belong to them, data.labels=NAME, or set data.n_classes=null."
            )
        return labels

    def read_labels(self, name: str, array: Any) -> np.ndarray:
        """Labels, those in a column as a row.

        Raises:
            UserError: they cannot be read.
        """
        try:
            labels = np.asarray(array[...])
        except OSError as error:
            raise UserError(
                f"data.file={self.file}: the labels {name} cannot be read ({error}): get the file again, or set "
                f"data.n_classes=null."
            ) from error
        return labels.reshape(-1) if labels.ndim > 1 and labels.shape[1:] == (1,) * (labels.ndim - 1) else labels

    def only_labels(self, n: int) -> str | None:
        """The name of the only array of n whole numbers, in a row or a column, that is not named as
        anything else; None where there is none, or several."""
        others = {key: array for key, array in self.arrays.items() if key not in self.names["test"]}
        fitting = [key for key, array in others.items() if array.shape in ((n,), (n, 1)) and array.dtype.kind in "iu"]
        return fitting[0] if len(fitting) == 1 else None

    def class_numbers_of(self, which: str, n_classes: int | None) -> np.ndarray | None:
        """The labels of a split as class numbers; None where there are none."""
        labels = self.labels_of(which)
        return None if labels is None else class_numbers(labels, n_classes, f"data.file={self.file}: the labels")

    def pictures(self, which: str) -> "ArrayPictures":
        """The images of a split as pictures.

        Raises:
            UserError: there are no labels where classes are asked for, or the pixels have no known
                scale.
        """
        key, images = self.images_of(which)
        if images.dtype != np.uint8 and self.range is None:
            raise UserError(
                f"data.file={self.file}: {key} holds {images.dtype}, so that nobody knows which number is black and "
                f"which is white: set both, data.range=[0,1] or data.range=[-1,1], or save it as uint8."
            )
        labels = None if self.n_classes is None else self.class_numbers_of(which, self.n_classes)
        if self.n_classes is not None and labels is None:
            raise UserError(
                f"data.n_classes={self.n_classes}, but data.file={self.file} has no labels of {key}, only "
                f"{self.listing()}: name them (data.{'' if which == 'train' else 'test_'}labels=NAME), or set "
                f"data.n_classes=null."
            )
        place = f"{key} in data.file={self.file}"
        return ArrayPictures(images, np.zeros(len(images), int) if labels is None else labels, place, self.range)

    def load(self, which: str) -> StoredSplit | ImageFiles:
        """One split, stored as `ImageSource.stored` says.

        Raises:
            UserError: as `pictures`, or pixels are outside of `range`.
        """
        return self.stored(self.files(self.pictures(which)))

    def found_format(self, wanted: Collection[str]) -> dict[str, int]:
        """The shorter side of the images, and the channels, by the shape of the array."""
        size, mode = ArrayPictures(self.images_of("train")[1], (), "", None).header(0)
        return {"image_size": min(size), "channels": 1 if mode == "L" else 3}

    def found_classes(self) -> int | None:
        """One more than the largest label; None where there are no labels."""
        numbers = self.class_numbers_of("train", None)
        return None if numbers is None else number_of_classes(numbers)


class Hdf5Images(ArrayImages):
    """Images in the data sets of an HDF5 file, read from it row by row.

    They have the shapes that `ArrayImages` says. The package h5py reads them.
    """

    KIND = "an HDF5 file"

    def read(self, file: Path) -> Mapping[str, Any]:
        """The data sets of an HDF5 file by their paths in it.

        Raises:
            UserError: h5py is not installed.
        """
        try:
            import h5py
        except ImportError as error:
            raise UserError(
                f"data={self.name} needs the package h5py, which is not installed: pip install 'lit_gan[hdf5]'."
            ) from error
        names, handle = [], OwnHandle(partial(h5py.File, file, "r"))
        handle().visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        return {name: Rows(handle, name) for name in names}


class Rows:
    """A data set of an HDF5 file, of which each process reads rows by a handle of its own."""

    def __init__(self, handle: OwnHandle, name: str):
        self.handle, self.name = handle, name
        self.shape, self.dtype = handle()[name].shape or (), handle()[name].dtype  # no shape: an empty dataset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.handle()[self.name][index]


class ArrayPictures:
    """The rows of an array as pictures.

    Args:
        images: [n, height, width] with or without channels.
        labels: [n].
        place: what messages call the array.
        range: (black, white); None for uint8.
    """

    def __init__(self, images: Any, labels: np.ndarray, place: str, range: tuple[float, float] | None):
        self.images, self.labels, self.place, self.range = images, labels, place, range

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        pixels = np.asarray(self.images[index])
        pixels = pixels if self.range is None else as_bytes(pixels, *self.range)
        if is_channels_first(self.images.shape):
            pixels = pixels.transpose(1, 2, 0)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 and pixels.ndim == 3 else pixels
        return Image.fromarray(np.ascontiguousarray(pixels)), self.labels[index]

    def header(self, index: int) -> Header:
        """The size and the kind of an image, which all share."""
        _, *rest = self.images.shape
        if len(rest) == 2:
            return Header((rest[1], rest[0]), "L")
        channels, height, width = rest if is_channels_first(self.images.shape) else (rest[2], *rest[:2])
        return Header((width, height), CHANNELS[channels])

    def name(self, index: int) -> str:
        """The number of an image, and its array."""
        return f"image {index} of {self.place}"

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for an image that has no pixels, which names it."""
        return BrokenImage(f"{self.name(index)} cannot be read ({reason}): correct data.range, or the file.")

    def content(self) -> str:
        """A hash of all images and labels."""
        how = f"{self.images.shape} {self.images.dtype} {self.range} ".encode()
        rows = (np.ascontiguousarray(self.images[index]).data for index in range(len(self)))
        return hashed(chain([how, self.labels.tobytes()], rows))


UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy and h5py raise for a file that is none of theirs."""


def numpy_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a file .npy or .npz by their names; a single one is called "array".

    Files of another kind that a zip archive holds are passed over.

    Raises:
        OSError, ValueError, EOFError, BadZipFile, zlib.error: it cannot be read.
    """
    content = np.load(file, mmap_mode="r", allow_pickle=False)
    if isinstance(content, np.ndarray):
        return {"array": content}
    return {name: array for name in content if isinstance(array := content[name], np.ndarray)}


def why(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    reason = getattr(error, "strerror", None) or one_line(str(error))
    # NumPy takes whatever it does not know for pickled, and advises to load that
    return "it holds no plain numbers" if "pickle" in reason or "Python objects" in reason else reason


def listing(arrays: Mapping[str, Any]) -> str:
    """Arrays with their types and shapes."""
    return ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items()) or "none"


def may_be_images(array: Any) -> bool:
    """Whether an array holds numbers and has the shape of images."""
    _, *rest = array.shape or (0,)
    has_channels = len(rest) == 3 and (rest[2] in CHANNELS or rest[0] in CHANNELS)
    return array.dtype.kind in "biuf" and (len(rest) == 2 or has_channels)


def is_channels_first(shape: Sequence[int]) -> bool:
    """Whether images [n, channels, height, width] have their channels first; last, if both could
    be."""
    return len(shape) == 4 and shape[3] not in CHANNELS


def checked_range(given: Sequence[float]) -> tuple[float, float]:
    """The numbers of black and white.

    Raises:
        UserError: they are not two different numbers.
    """
    pair = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    numbers = all(isinstance(number, int | float) and not isinstance(number, bool) for number in pair)
    if len(pair) != 2 or not numbers or not np.isfinite(pair).all() or pair[0] == pair[1]:
        raise UserError(f"data.range={written(given)} must be the numbers of black and white, such as [0,1].")
    return pair[0], pair[1]


def as_bytes(pixels: np.ndarray, black: float, white: float) -> np.ndarray:
    """Pixels as uint8: black becomes 0, white 255, and what lies between is rounded.

    Raises:
        ValueError: pixels lie outside.
    """
    shades = (pixels.astype(np.float64) - black) / (white - black)
    if not ((shades >= 0) & (shades <= 1)).all():  # also where they are not finite
        raise ValueError(f"its pixels go from {pixels.min():g} to {pixels.max():g}, beyond {black:g} to {white:g}")
    return np.rint(shades * 255).astype(np.uint8)
