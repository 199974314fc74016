"""Image files on disk: a survey of a folder, how a file is opened, and a hash of its content."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from io import FileIO
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, features
from PIL.Image import Transpose

from lit_gan.data.source import BrokenImage, Header, hashed
from lit_gan.records.files import walk_readable

FIRST_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"),  # torchvision's
    *(".gif", ".jfif"),
)
"""The endings that earlier versions used; runs that they began go on with the same files."""


@cache
def pillow_endings() -> tuple[str, ...]:
    """The endings of the images that the installed Pillow can decode."""
    Image.init()
    optional = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
    without = {name for name, feature in optional.items() if not features.check(feature)}
    without |= {"EPS", "MPEG"}  # documents and films, of which Pillow decodes none by itself
    without |= {name for name, (reader, _) in Image.OPEN.items() if is_stub(reader)}
    known = Image.registered_extensions().items()
    return (".mpo", *sorted(ending for ending, name in known if name in Image.OPEN.keys() - without))


def is_stub(reader: object) -> bool:
    """Whether Pillow only recognises a format, and leaves its decoding to others."""
    return isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)


@dataclass
class Survey:
    """The image files below a folder, sorted, and the number of files left out for each reason."""

    images: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        everything = len(self.images) + self.left_out.total()
        others = ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())
        return f"{len(self.images)} of {everything} files" + (f" (left out: {others})" if others else "")


def survey(folder: Path, endings: Sequence[str], setting: str = "data.root") -> Survey:
    """The files below a folder; hidden ones, and links in a circle, are passed over.

    Args:
        setting: the one that names the folder, for messages.

    Raises:
        Unreadable: a folder cannot be listed.
    """
    found = Survey()
    for path, subfolders, names in walk_readable(folder, setting, followlinks=True):
        found.left_out["hidden"] += sum(name.startswith(".") for name in (*subfolders, *names))
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and not circular(Path(path, name))]
        for name in names:
            ending = Path(name).suffix.lower()
            if not name.startswith(".") and ending in endings:
                found.images.append(Path(path, name))
            elif not name.startswith("."):
                found.left_out[ending or "without an ending"] += 1
    found.images.sort()
    found.left_out += Counter()  # drops zeros
    return found


def circular(folder: Path) -> bool:
    """Whether a folder is a link to one of those that it lies in."""
    return folder.is_symlink() and folder.resolve() in {parent.resolve() for parent in folder.absolute().parents}


def natural_key(name: str) -> tuple[list[str | int], str]:
    """The key that puts names into natural order, in which 2 comes before 10."""
    parts = re.split(r"([0-9]+)", name)  # text and numbers take turns
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


class FilePictures:
    """Image files, opened on access and turned upright as their EXIF tag says.

    A subclass has its images elsewhere than in files of their own, and says where.

    Args:
        paths: of the images, or what stands for them where they lie.
    """

    setting = "data.root"
    """The setting that names the place of the images."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int]):
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        with self.opened(index) as image:
            image.load()
            return upright(image), self.labels[index]

    def header(self, index: int) -> Header:
        """The size and the kind of an image, of which no more is read."""
        with self.opened(index) as image:
            return Header(image.size, image.mode)

    def opened(self, index: int) -> Image.Image:
        """An image whose pixels have not been read yet."""
        return Image.open(self.paths[index])

    def name(self, index: int) -> str:
        """What messages call an image."""
        return str(self.paths[index])

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for a file that does not come out as pixels; it names the file."""
        return BrokenImage(
            f"{self.setting}: {self.name(index)} is not a readable image ({reason}): "
            f"remove it, or skip such files with data.on_broken=skip."
        )

    def content(self) -> str:
        """A hash of a sample of every file and of its label, see `sampled_hash`."""

        def block(start: int) -> bytes:
            numbers = range(start, min(start + 64, len(self)))
            return b"".join(self.sample(number) + str(self.labels[number]).encode() for number in numbers)

        # Most of the time is spent waiting for a network's disk: many more threads than cores.
        with ThreadPoolExecutor(32) as pool:
            return hashed(pool.map(block, range(0, len(self), 64)))

    def sample(self, index: int) -> bytes:
        """A hash by which an image is told from others."""
        return sampled_hash(self.paths[index])


TRANSPOSITIONS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""The transposition that undoes each orientation of the EXIF standard."""


def upright(image: Image.Image) -> Image.Image:
    """An image turned as its EXIF tag says; one whose EXIF data cannot be read is left as it is.

    Pillow's `exif_transpose` writes the rest of the EXIF data anew, and fails where that cannot be
    written.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as many kinds as there are cameras
        orientation = 1
    return image.transpose(TRANSPOSITIONS[orientation]) if orientation in TRANSPOSITIONS else image


BLOCK = 4096
"""Bytes in each part of a compressed file that is hashed."""
COMPRESSED = (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".gif", ".avif", ".jp2", ".j2k", ".jpx")


def sampled_hash(path: Path) -> bytes:
    """`hash_of_part` for a whole file; a missing file is refused later."""
    try:
        with path.open("rb", buffering=0) as file:
            return hash_of_part(file, 0, os.fstat(file.fileno()).st_size, path.suffix.lower() in COMPRESSED)
    except OSError:
        return b"missing"


def hash_of_part(file: FileIO, start: int, size: int, compressed: bool) -> bytes:
    """A hash of the size of an image, and of a sample of its bytes in a file.

    A compressed one is sampled in its first, middle and last `BLOCK`, which no two pictures share:
    20,000 files take 2 s on two busy cores. Others are read whole, because two pictures may differ
    in one place.
    """
    whole = not compressed or size <= 3 * BLOCK
    places = [(0, size)] if whole else [(place, BLOCK) for place in (0, size // 2, size - BLOCK)]
    parts = [os.pread(file.fileno(), length, start + place) for place, length in places]
    return blake2b(b"".join([str(size).encode(), b" ", *parts]), digest_size=16).digest()
