"""Images in a zip archive, which is not unpacked."""

import json
import posixpath
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from lit_gan.data.folder import SPLITS, ImageFolder
from lit_gan.data.handles import OwnHandle
from lit_gan.data.image_files import FilePictures, Survey
from lit_gan.data.image_source import MemoryLimit, Packing
from lit_gan.data.own_images import OnBroken, class_numbers, number_of_classes
from lit_gan.data.source import Header
from lit_gan.errors import UserError, first_few
from lit_gan.ranges import CountAutoOrNone, CountOrAuto, PathOrNone, Range, checked
from lit_gan.records.paths import absolute

LABELS = "dataset.json"
"""The member in which the authors of StyleGAN2-ADA write the labels."""


class ImageZip(ImageFolder):
    """The images in a zip archive, each cut to its centre square and resized.

    Its folders mean what they mean in a folder, see `ImageFolder`; those in which all images lie
    together are passed over, as in an archive of one folder. Where there is a member
    `dataset.json`, as `dataset_tool.py` of StyleGAN2-ADA (Karras et al. 2020) writes it, the labels
    are those in it: {"labels": [["00000/img00000000.png", 6], ...]}, or null for none. Nothing is
    written to the disk, so that names of members such as `../x.png` do no harm; like hidden files
    they are passed over.

    Args:
        file: the archive.
        n_classes: the number of classes: of the numbers in `dataset.json`, else of class folders,
            the first folder level; "auto", in a config, counts them; None ignores both.
        on_broken: "error" stops at a member that does not come out as pixels; "skip" leaves such
            members out and counts them.
        class_order: "natural" counts the class folders in an order in which 2 comes before 10,
            "alphabetical" does not.
        split_folders: whether `train` and `test` are splits; False makes them class folders like
            any other; None takes them for splits where nothing else with images stands beside them,
            and refuses to guess otherwise.
        endings: endings of the members that are used; None for all that Pillow can decode.
    """

    @checked
    def __init__(
        self,
        name: str,
        image_size: CountOrAuto,
        channels: CountOrAuto,
        shape: Sequence[int],
        n_classes: CountAutoOrNone,
        file: PathOrNone,
        on_broken: OnBroken,
        in_memory: MemoryLimit,
        class_order: Literal["natural", "alphabetical"],
        split_folders: Annotated[bool | None, Range()],
        endings: Sequence[str] | None,
        pack: Packing,
    ):
        how = (on_broken, in_memory, class_order, split_folders, endings, pack)
        super().__init__(name, image_size, channels, shape, n_classes, None, *how)
        self.file = None if file is None else Path(absolute("data.file", file))
        self.place = f"data.file={self.file}"
        self.archive = OwnHandle(partial(opened_zip, self.file))

    def require_root(self) -> None:
        """Finds the folder in which all images lie.

        Raises:
            UserError: there is no archive, or a damaged one.
        """
        if self.file is None:
            raise UserError(f"data={self.name} needs the archive that holds the images: set data.file=FILE.zip.")
        self.root = common_folder(self._images)

    @cached_property
    def members(self) -> dict[PurePosixPath, zipfile.ZipInfo]:
        """The files in the archive by their names; the last one of several that share a name.

        Some programs of Windows write backslashes between folders.
        """
        files = [info for info in self.archive().infolist() if not info.is_dir()]
        return {PurePosixPath(info.filename.replace("\\", "/").lstrip("/")): info for info in files}

    @cached_property
    def _images(self) -> list[PurePosixPath]:
        return sorted(path for path in self.members if path.suffix.lower() in self.endings and not is_hidden(path))

    def is_folder(self, path: PurePosixPath) -> bool:
        """Whether images lie below that path."""
        return any(path in image.parents for image in self._images)

    def in_root(self) -> list[PurePosixPath]:
        """What of the images and their folders lies in the root itself."""
        return list({self.root / path.relative_to(self.root).parts[0] for path in self._images})

    def survey_of(self, folder: PurePosixPath) -> Survey:
        """The images below a folder of the archive."""
        below = [path for path in self.members if folder in path.parents]
        hidden = sum(map(is_hidden, below))
        others = [path for path in below if path.suffix.lower() not in self.endings and not is_hidden(path)]
        left_out = Counter(path.suffix.lower() or "without an ending" for path in others)
        images = [path for path in self._images if folder in path.parents]
        return Survey(images, left_out + Counter(hidden=hidden))

    def source_of(self, which: str) -> str:
        """The archive, and the folder of the split in it."""
        folder = self.splits[which]
        return f"{self.file}" if folder == PurePosixPath() else f"{folder} of {self.file}"

    def readable(self, images: Sequence[PurePosixPath], labels: Sequence[int]) -> FilePictures:
        """Members of the archive as pictures."""
        return ZipPictures(images, labels, self.archive, self.members, self.file)

    @cached_property
    def _list(self) -> PurePosixPath | None:
        """The member `dataset.json`, which lies in the root or in a folder above it."""
        root = common_folder(self._images)
        places = (folder / LABELS for folder in (*reversed(root.parents), root))
        return next((place for place in places if place in self.members), None)

    @cached_property
    def listed(self) -> dict[PurePosixPath, Any] | None:
        """The labels in `dataset.json` by the names of the members; None where there are none.

        Raises:
            UserError: it cannot be read.
        """
        if self._list is None:
            return None
        try:
            labels = json.loads(self.archive().read(self.members[self._list]))["labels"]
            return None if labels is None else {self._list.parent / name: label for name, label in labels}
        except Exception as error:  # what is no JSON, or another one, fails in any way
            raise UserError(
                f"{self.place}: its {LABELS} cannot be read ({type(error).__name__}: {error}): write it as "
                f'{{"labels": [["NAME.png", 0], ...]}}, or take it out of the archive.'
            ) from error

    def labels(self, found: Survey, which: str) -> list[int]:
        """The label of each image; 0 where `n_classes` is None.

        Raises:
            UserError: an image has none, or they do not fit `n_classes`.
        """
        if self.n_classes is None or self.listed is None:
            return super().labels(found, which)
        return self._listed(found, self.n_classes).tolist()

    def _listed(self, found: Survey, n_classes: int | None) -> np.ndarray:
        missing = [str(path) for path in found.images if path not in self.listed]
        if missing:
            raise UserError(
                f"{self.place}: its {LABELS} has no label for {first_few(missing)}: add it, or set data.n_classes=null."
            )
        labels = [self.listed[path] for path in found.images]
        return class_numbers(labels, n_classes, f"{self.place}: the labels in its {LABELS}")

    @cached_property
    def class_names(self) -> list[str] | None:
        """The class folders in the order of their numbers; None where `dataset.json` has
        numbers."""
        return None if self.listed is not None else super().class_names

    def found_classes(self) -> int | None:
        """The number of classes: one more than the largest number in `dataset.json`; without that
        member, as of a folder."""
        if self._list is None:
            return super().found_classes()
        return None if self.listed is None else number_of_classes(self._listed(self.survey("train"), None))


class ZipPictures(FilePictures):
    """Images in a zip archive, opened on access and turned upright as their EXIF tag says.

    Args:
        archive: gives the archive.
        members: of it, by their paths.
        file: its place, for messages.
    """

    setting = "data.file"

    def __init__(
        self,
        paths: Sequence[PurePosixPath],
        labels: Sequence[int],
        archive: OwnHandle,
        members: Mapping[PurePosixPath, zipfile.ZipInfo],
        file: Path,
    ):
        super().__init__(paths, labels)
        self.archive, self.members, self.file = archive, members, file

    def opened(self, index: int) -> Image.Image:
        """An image whose pixels have not been decoded yet; its checksum has been compared."""
        return Image.open(BytesIO(self.archive().read(self.members[self.paths[index]])))

    def header(self, index: int) -> Header:
        """The size and the kind of an image, of which no more is read."""
        with self.archive().open(self.members[self.paths[index]]) as file, Image.open(file) as image:
            return Header(image.size, image.mode)

    def name(self, index: int) -> str:
        """The name of a member, and of the archive."""
        return f"{self.paths[index]} in {self.file}"

    def sample(self, index: int) -> bytes:
        """The size and the checksum of a member, which the archive's directory holds."""
        info = self.members[self.paths[index]]
        return f"{info.file_size} {info.CRC} ".encode()


def opened_zip(file: Path) -> zipfile.ZipFile:
    """A zip archive.

    Raises:
        UserError: there is none of that name, or it is damaged.
    """
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"data.file={file} is no zip archive that can be read ({reason}): name one, get it again if it is cut off, "
            f"or unpack it and set data=image_folder data.root=FOLDER."
        ) from error


def is_hidden(path: PurePosixPath) -> bool:
    """Whether a member is hidden, leads out of the archive, or is what macOS adds to it."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def common_folder(paths: Sequence[PurePosixPath]) -> PurePosixPath:
    """The deepest folder in which all paths lie, or the one above a folder of a split."""
    parts = PurePosixPath(posixpath.commonpath([path.parent for path in paths]) if paths else "").parts
    split = next((place for place, part in enumerate(parts) if part in SPLITS), None)
    return PurePosixPath(*parts[:split])
