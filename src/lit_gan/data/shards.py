"""Images in tar archives, as WebDataset has them, which are not unpacked."""

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
from PIL import Image

from lit_gan.data.image_files import COMPRESSED, FilePictures, Survey, hash_of_part
from lit_gan.data.image_source import MemoryLimit, Packing
from lit_gan.data.own_images import OnBroken, class_numbers, number_of_classes
from lit_gan.data.surveyed import SurveyedImages, chosen_endings
from lit_gan.errors import UserError, first_few
from lit_gan.ranges import CountAutoOrNone, CountOrAuto, PathOrNone, checked
from lit_gan.records.files import check_readable
from lit_gan.records.paths import absolute

BLOCK = 512
"""Bytes in a block of a tar archive: headers and contents begin at its multiples, and one of zeros
ends the archive."""

PADDING = 2**20
"""Bytes behind the end of an archive that are looked at: tar fills up its last record, of 10 KB, with zeros."""


@dataclass(frozen=True, order=True)
class Member:
    """An image in a shard: where its bytes lie, the sample's name, and its class as it is written,
    or None."""

    shard: Path
    start: int
    size: int
    name: str
    label: str | None

    def __str__(self) -> str:
        return f"{self.name} in {self.shard}"


class Shards(SurveyedImages):
    """The images in the tar archives of a folder, each cut to its centre square and resized.

    They have the layout of WebDataset (Aizman et al. 2019): members with one name up to its first
    dot belong together, `00001.jpg` is an image and `00001.cls` its class as a number. The archives
    are read where they are, image by image, after one walk through their headers.

    The library webdataset is not used: it streams, in an order that a resume cannot go on with, and
    what is packed needs each image by its number.

    Args:
        root: the folder.
        train: the pattern of the archives of the split "train", in the folder.
        test: that of the split "test"; None for none.
        label: the ending of the members with the class.
        endings: endings of the images that are used; None for all that Pillow can decode.
        on_broken: "error" stops at a member that does not come out as pixels; "skip" leaves such
            members out and counts them.
    """

    @checked
    def __init__(
        self,
        name: str,
        image_size: CountOrAuto,
        channels: CountOrAuto,
        shape: Sequence[int],
        n_classes: CountAutoOrNone,
        root: PathOrNone,
        train: str,
        test: str | None,
        label: str,
        endings: Sequence[str] | None,
        on_broken: OnBroken,
        in_memory: MemoryLimit,
        pack: Packing,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory, pack=pack)
        self.root, self.on_broken = None if root is None else Path(absolute("data.root", root)), on_broken
        self.patterns = {"train": train, "test": test} if test else {"train": train}
        self.place, self.splits = f"data.root={self.root}", tuple(self.patterns)
        self.label, self.endings = label.lstrip("."), chosen_endings(endings)
        self._surveys: dict[str, Survey] = {}

    def source_of(self, which: str) -> str:
        """The number of a split's archives, and their pattern."""
        return f"{len(self.shards(which))} shards {self.patterns[which]}"

    def shards(self, which: str) -> list[Path]:
        """The archives of a split; those with test images are not trained on.

        Raises:
            UserError: there is no folder, or none of its files has such a name.
        """
        if self.root is None:
            raise UserError(f"data={self.name} needs the folder that holds the shards: set data.root=FOLDER.")
        apart = which == "train" and "test" in self.patterns
        taken = set(matching(self.root, self.patterns["test"])) if apart else set()
        if not (found := [shard for shard in matching(self.root, self.patterns[which]) if shard not in taken]):
            there = [path.name for path in matching(self.root, "*")]
            beside = f" beside those of data.test={self.patterns['test']}" if taken else ""
            raise UserError(
                f"data.root={self.root} has no files data.{which}={self.patterns[which]}{beside} "
                f"({first_few(there) or 'it holds nothing'}): name the folder, and a pattern of tar archives in it."
            )
        return found

    def survey(self, which: str) -> Survey:
        """The images of a split."""
        if which not in self._surveys:  # a walk through a million headers takes long: it is done once
            found = Survey()
            with ThreadPoolExecutor(8) as pool:
                for members, left_out in pool.map(self.members, self.shards(which)):
                    found.images += members
                    found.left_out += left_out
            self._surveys[which] = found
        return self._surveys[which]

    def members(self, shard: Path) -> tuple[list[Member], Counter[str]]:
        """The images in an archive, and the number of members left out for each ending.

        Raises:
            UserError: it is damaged, or a sample has two images.
        """
        images, classes, left_out = {}, {}, Counter()
        for info, content in walked(shard, self.label):
            key, ending = split_name(info.name)
            if content is not None:
                classes[key] = content.decode("ascii", "replace").strip()
            elif f".{ending.lower()}" not in self.endings or info.name.rpartition("/")[2].startswith("."):
                left_out[f".{ending}"] += 1
            elif key in images:
                raise UserError(
                    f"data.root: {key} in {shard} has two images, {images[key].name} and {info.name}: choose one of "
                    f"them, such as data.endings=[.{ending}]."
                )
            else:
                images[key] = info
        found = [Member(shard, i.offset_data, i.size, i.name, classes.get(key)) for key, i in images.items()]
        return found, left_out

    def readable(self, images: Sequence[Member], labels: Sequence[int]) -> FilePictures:
        """Members of archives as pictures."""
        return ShardPictures(images, labels)

    def labels(self, found: Survey, which: str) -> list[int]:
        """The class of each image; 0 where `n_classes` is None.

        Raises:
            UserError: an image has none, or they do not fit `n_classes`.
        """
        if self.n_classes is None:
            return [0] * len(found.images)
        return self._classes(found, self.n_classes).tolist()

    def _classes(self, found: Survey, n_classes: int | None) -> np.ndarray:
        wrong = [image for image in found.images if image.label is None or not image.label.isdecimal()]
        if wrong:
            says = "no class" if wrong[0].label is None else f"the class {wrong[0].label[:20]!r}"
            raise UserError(
                f"data.root: {wrong[0]} has {says} in a member .{self.label}: add the number, name another ending "
                f"(data.label=ENDING), or set data.n_classes=null."
            )
        return class_numbers([int(image.label) for image in found.images], n_classes, f"{self.place}: the classes")

    def found_classes(self) -> int | None:
        """One more than the largest class; None where no image has one."""
        found = self.survey("train")
        if all(image.label is None for image in found.images):
            return None
        return number_of_classes(self._classes(found, None))


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files in a folder whose names have a pattern, in order; none for what is no pattern.

    Raises:
        Unreadable: one of the folders in which they might lie cannot be listed, which `glob` passes
            over.
    """
    try:
        parents = [str(parent) for parent in PurePath(pattern).parents[:-1]]
        for place in (folder, *(path for parent in parents for path in folder.glob(parent))):
            check_readable(place, "data.root")
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except (NotImplementedError, ValueError, TypeError):
        return []


class ShardPictures(FilePictures):
    """Images in tar archives, read on access and turned upright as their EXIF tag says."""

    def opened(self, index: int) -> Image.Image:
        """An image whose pixels have not been decoded yet."""
        member = self.paths[index]
        with member.shard.open("rb") as file:
            file.seek(member.start)
            return Image.open(BytesIO(file.read(member.size)))

    def sample(self, index: int) -> bytes:
        """A hash by which an image is told from others, see `hash_of_part`."""
        member = self.paths[index]
        with member.shard.open("rb", buffering=0) as file:
            return hash_of_part(file, member.start, member.size, f".{split_name(member.name)[1].lower()}" in COMPRESSED)


def split_name(name: str) -> tuple[str, str]:
    """The name of a sample, and the ending, of a member: they part at the first dot of the file's
    name."""
    folder, slash, file = name.rpartition("/")
    key, _, ending = file.partition(".")
    return folder + slash + key, ending


def walked(shard: Path, label: str) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The files in a tar archive, in order; with the content of those with the ending `label`, else
    with None.

    Raises:
        UserError: it is compressed, damaged or cut off, or a part of it would be passed over.
    """
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            end = 0
            for info in archive:
                end = info.offset_data + -(-info.size // BLOCK) * BLOCK
                if info.isreg():
                    wanted = split_name(info.name)[1] == label
                    yield info, archive.extractfile(info).read() if wanted else None
                elif info.islnk() or info.issym():
                    raise UserError(
                        f"data.root: {info.name} in {shard} is a link to {info.linkname} without content of its own: "
                        f"make the archive of files, as with `tar --dereference --hard-dereference`."
                    )
            file.seek(end)
            require_end(file, shard)
    except (OSError, tarfile.TarError) as error:
        raise UserError(why_not_read(shard, error)) from error


def require_end(file: BinaryIO, shard: Path) -> None:
    """Holds that an archive ends at the present position of its file.

    Raises:
        tarfile.ReadError: it is cut off or damaged: tarfile takes the end of the file for that of the
            archive.
        UserError: another archive follows.
    """
    if file.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError("it is cut off, or damaged in the middle")
    if file.read(PADDING).strip(b"\0"):
        raise UserError(
            f"data.root: {shard} goes on behind its end, as archives do that were joined by `cat`, and the rest would "
            f"not be read: keep them apart, or join them with `tar --concatenate`."
        )


def why_not_read(shard: Path, error: Exception) -> str:
    """The sentence about an archive that cannot be read."""
    compressed = isinstance(error, tarfile.TarError) and is_compressed(shard)
    if compressed:
        return (
            f"data.root: {shard} is compressed, so that no image in it can be read by itself: decompress it, as with "
            f"`gunzip`, which costs little room, because images are compressed themselves."
        )
    return f"data.root: {shard} is no tar archive that can be read ({error}): get it again, or move it away."


def is_compressed(file: Path) -> bool:
    """Whether a file begins as gzip, bzip2, xz or Zstandard let it begin."""
    with file.open("rb") as opened:
        return opened.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
