"""Any folder of images."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from lit_gan.data.image_files import FIRST_ENDINGS, FilePictures, Survey, natural_key, pillow_endings, survey
from lit_gan.data.image_source import ImageSource
from lit_gan.data.packed import Packed
from lit_gan.data.source import BrokenImage, ImageFiles, Images, first_few
from lit_gan.errors import UserError
from lit_gan.ranges import Count, CountOrNone, NonNegative, Range, Switch, checked
from lit_gan.records.paths import absolute

log = logging.getLogger(__name__)

SPLITS = ("train", "test")
UNUSED_SPLITS = ("val", "valid", "validation")
"""Names of folders that hold further splits, of which no use is made."""


class ImageFolder(ImageSource):
    """The images in a folder and its subfolders, each cut to its centre square and resized.

    With subfolders as splits the split "train" is the subfolder `train`, and "test" is `test` if
    there is one; otherwise everything is "train". Hidden files and folders are passed over.

    The defaults are those of the first versions: a run whose config does not have these settings
    goes on as it began.

    Args:
        root: the folder.
        n_classes: the number of class folders, the first folder level, which give the labels; None
            ignores them.
        on_broken: "error" stops at a file that does not come out as pixels; "skip" leaves such
            files out and counts them, for which every file is decoded once at the start, or when
            the split is packed.
        class_order: "natural" counts the class folders in an order in which 2 comes before 10,
            "alphabetical" does not.
        split_folders: whether `train` and `test` are splits; False makes them class folders like
            any other; None takes them for splits where nothing else with images stands beside them,
            and refuses to guess otherwise.
        endings: endings of the files that are used; None for all that Pillow can decode.
    """

    @checked("data")
    def __init__(
        self,
        name: str,
        image_size: Count,
        channels: Count,
        shape: Sequence[int],
        n_classes: CountOrNone,
        root: str | None,
        on_broken: Literal["error", "skip"],
        in_memory: NonNegative,
        class_order: Literal["natural", "alphabetical"] = "alphabetical",
        split_folders: Annotated[bool | None, Range()] = True,
        endings: Sequence[str] | None = FIRST_ENDINGS,
        pack: Switch = False,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory, pack=pack)
        self.root, self.on_broken = None if root is None else Path(absolute("data.root", root)), on_broken
        self.class_order, self.split_folders = class_order, split_folders
        self.endings = chosen_endings(endings)
        self._surveys: dict[Path, Survey] = {}

    @cached_property
    def splits(self) -> dict[str, Path]:
        """The folder of each split.

        Raises:
            UserError: there is no folder, or it is unclear whether its folder `train` is a split or
                a class.
        """
        if self.root is None:
            raise UserError(f"data={self.name} needs the folder that holds the images: set data.root=FOLDER.")
        if not self.root.is_dir():
            raise UserError(f"data.root={self.root} is not a folder: set data.root to the one that holds the images.")
        if self.split_folders is False or not (self.root / "train").is_dir():
            return {"train": self.root}
        if others := self._beside_splits():
            self._choose_splits(others)
        return {which: self.root / which for which in SPLITS if (self.root / which).is_dir()}

    def _beside_splits(self) -> list[str]:
        """The names of images, and of folders with images, that lie beside `train` and `test`."""
        found = [path for path in self.root.iterdir() if path.name not in SPLITS and not path.name.startswith(".")]
        return sorted(path.name for path in found if path.suffix.lower() in self.endings or self._survey(path).images)

    def _survey(self, folder: Path) -> Survey:
        if folder not in self._surveys:  # a walk through a million files takes long: it is done once
            self._surveys[folder] = survey(folder, self.endings)
        return self._surveys[folder]

    def _choose_splits(self, others: list[str]) -> None:
        names = first_few(others)
        if self.split_folders is None and not set(others) <= set(UNUSED_SPLITS):
            raise UserError(
                f"data.root={self.root} has a folder train beside {names}, so that it may be a split or a class: set "
                f"data.split_folders=false to use them all, or data.split_folders=true for train (and test) alone."
            )
        log.info("data=%s: not used, because beside the splits of %s: %s", self.name, self.root, names)

    def load(self, which: str) -> Images | ImageFiles:
        """One split, stored as `ImageSource.stored` says.

        Raises:
            UserError: there are no images, other class folders than expected, or an image that
                cannot be decoded.
        """
        found, folder = self._survey(self.splits[which]), self.splits[which]
        skip, packs = self.on_broken == "skip", self.pack and not self.fits_into_memory(len(found.images))
        if skip and not packs:
            found = self._without_broken(found)
        require_images(found, self.root, folder)
        log.info("data=%s: %s in %s are used as %s images", self.name, found, folder, which)
        labels = [self._label(path.relative_to(folder)) for path in found.images]
        split = self.stored(self.files(FilePictures(found.images, labels)), skip)
        if isinstance(split, Packed):  # which has left out the broken ones while it decoded the others
            require_images(self._without(found, split.broken), self.root, folder)
        return split

    def _without_broken(self, found: Survey) -> Survey:
        return self._without(found, broken_among(self.files(FilePictures(found.images, [0] * len(found.images)))))

    def _without(self, found: Survey, numbers: Sequence[int]) -> Survey:
        if not numbers:
            return found
        broken, everything = [found.images[number] for number in numbers], len(found.images)
        log.warning(
            "data.root=%s: skipped %d broken of %d images, first %s", self.root, len(broken), everything, broken[0]
        )
        return Survey(sorted(set(found.images) - set(broken)), found.left_out + Counter(broken=len(broken)))

    def _label(self, path: Path) -> int:
        if self.n_classes is None:
            return 0
        if path.parts[0] not in self._numbers:
            raise UserError(f"data.root={self.root}: {path} is in none of its class folders: set data.n_classes=null.")
        return self._numbers[path.parts[0]]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.class_names)}

    @cached_property
    def class_names(self) -> list[str] | None:
        """The class folders in the order of their numbers.

        Raises:
            UserError: there are not `n_classes` of them.
        """
        if self.n_classes is None:
            return None
        folder = self.splits["train"]
        parts = (path.relative_to(folder).parts for path in self._survey(folder).images)
        names = sorted({p[0] for p in parts if len(p) > 1}, key=natural_key if self.class_order == "natural" else None)
        if len(names) != self.n_classes:
            raise UserError(
                f"data.n_classes={self.n_classes}, but {folder} has {len(names)} folders with images: "
                f"set data.n_classes={len(names) or 'null'}."
            )
        return names


def require_images(found: Survey, root: Path, folder: Path) -> None:
    """Refuses a split in whose folder there are no images.

    Raises:
        UserError: says what there is.
    """
    if not found.images:
        raise UserError(
            f"data.root={root} has no readable images in {folder}, {found}: "
            f"set data.root to a folder with images, such as files in .jpg or .png."
        )


def chosen_endings(endings: Sequence[str] | None) -> tuple[str, ...]:
    """The endings of image files, with their dot; those of all that Pillow decodes for None.

    Raises:
        UserError: they are no list, or an empty one.
    """
    if endings is None:
        return pillow_endings()
    if isinstance(endings, str) or not endings:
        raise UserError(f"data.endings={endings} is no list of endings: write data.endings=[.png,.jpg].")
    return tuple(f".{str(ending).lower().lstrip('.')}" for ending in endings)


def broken_among(files: ImageFiles) -> list[int]:
    """The numbers of the images that cannot be decoded."""

    def look(start: int) -> list[int]:
        return [index for index in range(start, min(start + 64, len(files))) if not is_readable(files, index)]

    with ThreadPoolExecutor() as pool:
        return [index for found in pool.map(look, range(0, len(files), 64)) for index in found]


def is_readable(files: ImageFiles, index: int) -> bool:
    """Whether an image comes out as pixels."""
    try:
        return files[index] is not None
    except BrokenImage:
        return False
