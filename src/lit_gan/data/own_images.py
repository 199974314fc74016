"""Pictures of one's own: what their files say of them need not be asked for."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import numpy as np

from lit_gan.data.image_source import ImageSource
from lit_gan.data.source import Header, UndecodedImages
from lit_gan.errors import UserError
from lit_gan.ranges import HowRead
from lit_gan.system.watching import watched

OnBroken = Annotated[Literal["error", "skip"], HowRead()]

BLOCK = 4096
"""Images whose headers all threads together read before the next ones; one block tells most sets of
mixed sizes."""


class OwnImages(ImageSource):
    """A set of pictures whose size, channels and classes can be found out.

    A subclass says what its pictures and their classes are.

    Args:
        image_size: height and width in pixels; "auto", in a config, for the size that all images
            have.
        channels: 1 for grey, 3 for colour; "auto", in a config, for 1 if all images are grey, else
            3.
        n_classes: the number of classes; "auto", in a config, counts them; None ignores the labels.
    """

    on_broken: OnBroken = "error"
    """Whether a picture that cannot be read stops the run, or is left out."""

    def pictures(self, which: str) -> UndecodedImages:
        """The pictures of a split, undecoded."""
        raise NotImplementedError

    def found_classes(self) -> int | None:
        """The number of classes; None where the pictures have no labels."""
        raise NotImplementedError

    def found(self, wanted: Collection[str]) -> dict[str, int | None]:
        """Those of "image_size", "channels" and "n_classes" that are wanted, as the data have them.

        The size is the side of each image's centre square. Grey and coloured images together make
        three channels.

        Raises:
            UserError: the sizes differ, or the data cannot be read.
        """
        facts = self.found_format(wanted) if {"image_size", "channels"} & set(wanted) else {}
        if "n_classes" in wanted:
            facts["n_classes"] = self.found_classes()
        return {name: facts[name] for name in wanted}

    def found_format(self, wanted: Collection[str]) -> dict[str, int]:
        """The image size, where it is wanted, and the channels, by the headers of the images."""
        pictures, first, colour = self.pictures("train"), None, False
        for index, (size, mode) in headers(pictures, self.on_broken == "skip"):
            first = first or (index, size)
            colour = colour or not is_grey(mode)
            if "image_size" not in wanted and colour:
                break
            if "image_size" in wanted and min(size) != min(first[1]):
                raise self.mixed_sizes(pictures, first, (index, size))
        if first is None:
            raise UserError(f"data={self.name} has no readable images, of which its size could be found out.")
        return {"image_size": min(first[1]), "channels": 3 if colour else 1}

    def mixed_sizes(self, pictures: UndecodedImages, *sized: tuple[int, tuple[int, int]]) -> UserError:
        """The error for images of two sizes, each given as (number, (width, height))."""
        one, other = (f"{pictures.name(index)} has {width}x{height}" for index, (width, height) in sized)
        return UserError(
            f"data.image_size=auto: the images of data={self.name} differ in size, {one} and {other} pixels: set the "
            f"size to which all are brought, such as data.image_size=64."
        )


def headers(pictures: UndecodedImages, skip_broken: bool) -> Iterator[tuple[int, Header]]:
    """The numbers and headers of pictures, read by many threads.

    Raises:
        BrokenImage: for one that cannot be read, where it is not to be skipped.
    """

    def look(index: int) -> Header | None:
        try:
            return pictures.header(index)
        except Exception as error:  # Pillow raises nearly anything
            if skip_broken:
                return None
            raise pictures.broken(index, f"{type(error).__name__}: {error}".removesuffix(": ")) from error

    starts = range(0, len(pictures), BLOCK)
    with ThreadPoolExecutor(32) as pool:
        for start in watched(starts, len(starts), "reading sizes"):
            numbers = range(start, min(start + BLOCK, len(pictures)))
            looks = zip(numbers, pool.map(look, numbers), strict=True)
            yield from ((index, header) for index, header in looks if header is not None)


def is_grey(mode: str) -> bool:
    """Whether pixels of a kind have no colours; a palette is taken for coloured."""
    return mode in ("1", "L", "LA", "La") or mode[0] in "IF"


LIKELY_CLASSES = 1000
"""Where more classes than these and than images are found, the numbers are more likely times or identities."""


def class_numbers(labels: Sequence[Any] | np.ndarray, n_classes: int | None, where: str) -> np.ndarray:
    """Labels as int64 [n], held against the number of classes; None, where that is to be found out,
    allows as many as `LIKELY_CLASSES` or as there are images.

    Args:
        where: the words by which messages call the labels.

    Raises:
        UserError: they are no whole numbers of one axis, or out of range.
    """
    numbers = array_of_labels(labels)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise UserError(
            f"{where} are no class numbers but {numbers.dtype} of shape {list(numbers.shape)}: give each image one "
            f"whole number, 0 or more, or set data.n_classes=null."
        )
    least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if least < 0 or (n_classes is not None and most >= n_classes):
        advice = "data.n_classes=null" if least < 0 else f"data.n_classes={most + 1}"
        raise UserError(f"{where} go from {least} to {most}, with data.n_classes={n_classes}: set {advice}.")
    if n_classes is None and most >= max(LIKELY_CLASSES, len(numbers)):
        raise UserError(
            f"{where} go from {least} to {most} for {len(numbers)} images, too many to be classes: set "
            f"data.n_classes={most + 1} if they are, data.n_classes=null if not."
        )
    return numbers.astype(np.int64)


def array_of_labels(labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Labels as an array, of objects where they are of different shapes."""
    try:
        return np.asarray(labels)
    except ValueError:
        return np.asarray([None] * len(labels))


def number_of_classes(numbers: np.ndarray) -> int | None:
    """One more than the largest of some labels; None where that is one class."""
    most = int(numbers.max()) + 1 if len(numbers) else 0
    return most if most > 1 else None
