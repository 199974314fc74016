"""Any folder of images."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from lit_gan.data.image_files import FIRST_ENDINGS, Survey, natural_key, survey
from lit_gan.data.image_source import MemoryLimit, Packing
from lit_gan.data.own_images import OnBroken
from lit_gan.data.surveyed import SurveyedImages, chosen_endings
from lit_gan.errors import UserError, first_few
from lit_gan.ranges import CountAutoOrNone, CountOrAuto, PathOrNone, Range, checked
from lit_gan.records.files import check_readable
from lit_gan.records.paths import absolute

log = logging.getLogger(__name__)

SPLITS = ("train", "test")
UNUSED_SPLITS = ("val", "valid", "validation")
"""Names of folders that hold further splits, of which no use is made."""


LIKELY_TRAIN = ("train", "training")
"""Names, in small letters, of folders that are likely to hold a split, though they are not called `train`."""


class ImageFolder(SurveyedImages):
    """The images in a folder and its subfolders, each cut to its centre square and resized.

    With subfolders as splits the split "train" is the subfolder `train`, and "test" is `test` if
    there is one; otherwise everything is "train". Hidden files and folders are passed over.

    The defaults are those of the first versions: a run whose config does not have these settings
    goes on as it began.

    Args:
        root: the folder.
        n_classes: the number of class folders, the first folder level, which give the labels;
            "auto", in a config, counts them, if all images lie in two or more; None ignores them.
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

    @checked
    def __init__(
        self,
        name: str,
        image_size: CountOrAuto,
        channels: CountOrAuto,
        shape: Sequence[int],
        n_classes: CountAutoOrNone,
        root: PathOrNone,
        on_broken: OnBroken,
        in_memory: MemoryLimit,
        class_order: Literal["natural", "alphabetical"] = "alphabetical",
        split_folders: Annotated[bool | None, Range()] = True,
        endings: Sequence[str] | None = FIRST_ENDINGS,
        pack: Packing = False,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory, pack=pack)
        self.root, self.on_broken = None if root is None else Path(absolute("data.root", root)), on_broken
        self.place = f"data.root={self.root}"
        self.class_order, self.split_folders = class_order, split_folders
        self.endings = chosen_endings(endings)
        self._surveys: dict[Path, Survey] = {}

    @cached_property
    def splits(self) -> dict[str, Path]:
        """The folder of each split.

        Raises:
            UserError: there is no folder, or it is unclear whether its folder `train`, or `Train`,
                is a split or a class.
        """
        self.require_root()
        there = {which: self.root / which for which in SPLITS if self.is_folder(self.root / which)}
        if self.split_folders is False or "train" not in there:
            if self.split_folders is None:
                self._require_no_likely_splits()
            return {"train": self.root}
        if others := self._beside_splits():
            self._choose_splits(others)
        return there

    def require_root(self) -> None:
        """Refuses a root that is no folder.

        Raises:
            UserError: names it.
        """
        if self.root is None:
            raise UserError(f"data={self.name} needs the folder that holds the images: set data.root=FOLDER.")
        if not self.root.is_dir():
            raise UserError(f"data.root={self.root} is not a folder: set data.root to the one that holds the images.")

    def is_folder(self, path: Path) -> bool:
        """Whether there is a folder of that path."""
        return path.is_dir()

    def _require_no_likely_splits(self) -> None:
        folders = sorted(path.name for path in self.in_root() if path.name.lower() in LIKELY_TRAIN)
        if folders and self.is_folder(self.root / folders[0]):
            raise UserError(
                f"{self.place} has a folder {folders[0]}, which may be a split: call it train, and that of the test "
                f"images test, or set data.split_folders=false to take all folders for classes."
            )

    def _beside_splits(self) -> list[str]:
        """The names of images, and of folders with images, that lie beside `train` and `test`."""
        found = [path for path in self.in_root() if path.name not in SPLITS and not path.name.startswith(".")]
        return sorted(path.name for path in found if path.suffix.lower() in self.endings or self._survey(path).images)

    def _survey(self, folder: Path) -> Survey:
        if folder not in self._surveys:  # a walk through a million files takes long: it is done once
            self._surveys[folder] = self.survey_of(folder)
        return self._surveys[folder]

    def in_root(self) -> list[Path]:
        """What lies in the root itself.

        Raises:
            Unreadable: it cannot be listed.
        """
        check_readable(self.root, "data.root")
        return list(self.root.iterdir())

    def survey_of(self, folder: Path) -> Survey:
        """The images below a folder."""
        return survey(folder, self.endings)

    def _choose_splits(self, others: list[str]) -> None:
        names = first_few(others)
        if self.split_folders is None and not set(others) <= set(UNUSED_SPLITS):
            raise UserError(
                f"{self.place} has a folder train beside {names}, so that it may be a split or a class: set "
                f"data.split_folders=false to use them all, or data.split_folders=true for train (and test) alone."
            )
        place = self.place.partition("=")[2]
        log.info("data=%s: not used, because beside the splits of %s: %s", self.name, place, names)

    def survey(self, which: str) -> Survey:
        """The image files of a split."""
        return self._survey(self.splits[which])

    def source_of(self, which: str) -> str:
        """The folder of a split."""
        return str(self.splits[which])

    def labels(self, found: Survey, which: str) -> list[int]:
        """The number of each image's class folder; 0 where `n_classes` is None.

        Raises:
            UserError: there are other class folders than expected.
        """
        return [self._label(path.relative_to(self.splits[which])) for path in found.images]

    def found_classes(self) -> int | None:
        """The number of class folders, if there are two or more; None where images lie beside them.

        None too where another split has a class folder that the training images have not.
        """
        folders = {which: self._folders_of_images(which) for which in self.splits}
        names = folders["train"]
        is_class = len(names) > 1 and all("" not in others and others <= names for others in folders.values())
        return len(names) if is_class else None

    def _folders_of_images(self, which: str) -> set[str]:
        """The folders of the first level that hold images; "" for images in none."""
        parts = (path.relative_to(self.splits[which]).parts for path in self.survey(which).images)
        return {part[0] if len(part) > 1 else "" for part in parts}

    def _label(self, path: Path) -> int:
        if self.n_classes is None:
            return 0
        if path.parts[0] not in self._numbers:
            raise UserError(f"{self.place}: {path} is in none of its class folders: set data.n_classes=null.")
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
        found = self._folders_of_images("train") - {""}
        names = sorted(found, key=natural_key if self.class_order == "natural" else None)
        if len(names) != self.n_classes:
            advice = f"{len(names)}, or null for no labels" if names else "null"
            raise UserError(
                f"data.n_classes={self.n_classes}, but {self.source_of('train')} has {len(names)} folders with images: "
                f"set data.n_classes={advice}."
            )
        return names
