"""Sets of images that the library `datasets` of Hugging Face reads."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lit_gan.data.image_files import FilePictures
from lit_gan.data.image_source import MemoryLimit, Packing
from lit_gan.data.own_images import OwnImages, class_numbers, number_of_classes
from lit_gan.data.source import BrokenImage, DatasetPictures, ImageFiles, StoredSplit, hashed
from lit_gan.errors import UserError, one_line
from lit_gan.ranges import CountAutoOrNone, CountOrAuto, PathOrNone, checked
from lit_gan.records.files import walk_readable
from lit_gan.records.paths import absolute

MADE_BY_SAVING = ("dataset_dict.json", "state.json")
"""Files of which `save_to_disk` writes one into the folder of a set."""


class HuggingFaceSet(OwnImages):
    """The images of a set of the Hugging Face hub, or of a folder that the library `datasets` reads.

    A set that is named is taken from the library's cache, or downloaded into it. No code of a set is
    run: the library has not done so since version 4.

    Args:
        name: of a set on the hub, as USER/SET; None with `root`.
        root: a folder, made by `save_to_disk` or of files that `load_dataset` reads.
        subset: the configuration of a set that has several.
        train: the set's name of the split "train".
        test: its name of the split "test", of which no use is made where there is none.
        image: the column of the images; None for the only one.
        label: the column of the labels; None for the only one of class labels.

    Raises:
        UserError: neither name nor root, or both.
    """

    @checked
    def __init__(
        self,
        name: str | None,
        image_size: CountOrAuto,
        channels: CountOrAuto,
        shape: Sequence[int],
        n_classes: CountAutoOrNone,
        root: PathOrNone,
        subset: str | None,
        train: str,
        test: str | None,
        image: str | None,
        label: str | None,
        in_memory: MemoryLimit,
        pack: Packing,
    ):
        # a name of two parts would be two folders in the cache, and two words of a score's name
        short = "hf" if name is None else str(name).replace("/", "-")
        super().__init__(short, image_size, channels, shape, n_classes, in_memory, pack=pack)
        if (name is None) == (root is None):
            raise UserError(
                f"data.name={name or 'null'} and data.root={root or 'null'}: set one of them, data.name=USER/SET for a "
                f"set of the Hugging Face hub, or data.root=FOLDER for one on this machine."
            )
        self.place = f"data.name={name}" if root is None else f"data.root={absolute('data.root', root)}"
        self.path = str(name) if root is None else absolute("data.root", root)
        self.is_folder, self.subset, self.names = root is not None, subset, {"train": train, "test": test}
        self.image, self.label = image, label

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The splits of the set by its own names for them; one that has no splits is "train".

        Raises:
            UserError: the library or the set is missing.
        """
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                "data=hf needs the package datasets, which is not installed: pip install 'lit_gan[hf]'."
            ) from error
        # it says to the standard error itself that it tries a broken network again
        logging.getLogger("huggingface_hub").propagate = False
        if self.is_folder and not Path(self.path).is_dir():
            raise UserError(f"{self.place} is not a folder: set data.root to the one that holds the set.")
        if self.is_folder:
            check_all_readable(Path(self.path))
        try:
            saved = self.is_folder and any(Path(self.path, name).is_file() for name in MADE_BY_SAVING)
            found = datasets.load_from_disk(self.path) if saved else datasets.load_dataset(self.path, self.subset)
        except Exception as error:  # as many kinds as there are ways to store a set
            raise UserError(self.not_read(error)) from error
        return found if isinstance(found, dict) else {self.names["train"]: found}

    def not_read(self, error: Exception) -> str:
        """The sentence about a set that cannot be read."""
        reason = f"{type(error).__name__}: {one_line(str(error))}"[:300]
        if self.is_folder:
            return f"{self.place} cannot be read by the package datasets ({reason}): name another folder."
        return (
            f"{self.place} is neither in the cache of the package datasets nor on the internet ({reason}): correct the "
            f"name, run the same command once with internet access, set HF_HOME to the folder of another cache, or set "
            f"data.root=FOLDER for a set on this machine."
        )

    @cached_property
    def splits(self) -> dict[str, str]:
        """The set's own names of the splits.

        Raises:
            UserError: it has no split of the name that `train` gives.
        """
        there = {which: name for which, name in self.names.items() if name in self.content}
        if "train" not in there:
            raise UserError(
                f"data.train={self.names['train']}: {self.place} has no such split, but {', '.join(self.content)}: "
                f"set data.train to one of them."
            )
        return there

    def columns(self, kind: str) -> dict[str, Any]:
        """The columns of the training split whose feature is of a kind of the library, "Image" or
        "ClassLabel"."""
        features = self.content[self.splits["train"]].features
        return {name: feature for name, feature in features.items() if type(feature).__name__ == kind}

    def image_column(self) -> str:
        """The column of the images.

        Raises:
            UserError: there is none of that name, or it is unclear which it is.
        """
        images = self.columns("Image")
        if self.image is None and len(images) == 1:
            return next(iter(images))
        if self.image not in images:
            raise UserError(
                f"data.image={self.image or 'null'}: {self.place} has the columns of images "
                f"{', '.join(images) or 'none'}, so set data.image to one of them, or choose another set."
            )
        return self.image

    def label_column(self) -> str | None:
        """The column of the labels; None where it is unclear which it is.

        Raises:
            UserError: there is none of that name.
        """
        known = self.content[self.splits["train"]].column_names
        if self.label is not None and self.label not in known:
            raise UserError(
                f"data.label={self.label}: {self.place} has no such column, but {', '.join(known)}: choose one of "
                f"them, or set data.n_classes=null."
            )
        classes = self.columns("ClassLabel")
        return self.label or (next(iter(classes)) if len(classes) == 1 else None)

    def class_numbers_of(self, which: str, n_classes: int | None) -> np.ndarray:
        """The labels of a split.

        Raises:
            UserError: there is no column of them, or they are no class numbers.
        """
        column = self.label_column()
        if column is None:
            raise UserError(
                f"data.n_classes={n_classes}, but it is unclear which column of {self.place} has the labels, class "
                f"labels being {', '.join(self.columns('ClassLabel')) or 'in none'}: set data.label to it, or "
                f"data.n_classes=null."
            )
        labels = self.content[self.splits[which]].with_format(None)[column][:]
        return class_numbers(labels, n_classes, f"{self.place}: the labels {column} of the split {which}")

    def pictures(self, which: str) -> "ColumnPictures":
        """The images of a split as pictures.

        Raises:
            UserError: it is unclear where they or their labels are.
        """
        column, rows = self.image_column(), self.content[self.splits[which]]
        labels = [0] * len(rows) if self.n_classes is None else self.class_numbers_of(which, self.n_classes).tolist()
        undecoded = type(rows.features[column])(decode=False)
        encoded = rows.select_columns(column).cast_column(column, undecoded)
        return ColumnPictures(encoded, column, labels, f"{self.splits[which]} of {self.place}")

    def load(self, which: str) -> StoredSplit | ImageFiles:
        """One split, stored as `ImageSource.stored` says.

        Raises:
            UserError: as `pictures`, or an image that cannot be decoded.
        """
        return self.stored(self.files(self.pictures(which)))

    def found_classes(self) -> int | None:
        """The number of class labels of the column; None where there is none."""
        column = self.label_column()
        if column is None:
            return None
        return len(self.names_of(column)) or number_of_classes(self.class_numbers_of("train", None))

    def names_of(self, column: str) -> list[str]:
        """The names of the class labels of a column; none where it has plain numbers."""
        feature = self.columns("ClassLabel").get(column)
        return [] if feature is None else list(feature.names)

    @property
    def class_names(self) -> list[str] | None:
        """The names of the class labels; None where the column has plain numbers, or without
        classes."""
        if self.n_classes is None or (column := self.label_column()) is None:
            return None
        names = self.names_of(column)
        return names if len(names) == self.n_classes else None


class ColumnPictures(FilePictures):
    """A column of encoded images, opened on access and turned upright as their EXIF tag says.

    Args:
        rows: of the set, whose column `column` gives {"bytes": ..., "path": ...}.
        place: what messages call the split.
    """

    def __init__(self, rows: Any, column: str, labels: Sequence[int], place: str):
        super().__init__(range(len(rows)), labels)
        self.rows, self.column, self.place = rows, column, place

    def opened(self, index: int) -> Image.Image:
        """An image whose pixels have not been decoded yet."""
        encoded = self.rows[index][self.column]
        return Image.open(encoded["path"] if encoded["bytes"] is None else BytesIO(encoded["bytes"]))

    def name(self, index: int) -> str:
        """The number of an image, and its split."""
        return f"image {index} of {self.place}"

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for an image that cannot be decoded; it names the set and the image."""
        return DatasetPictures(self, self.place).broken(index, reason)

    def content(self) -> str:
        """A hash of about `DatasetPictures.SAMPLED` images at equal distances, and of all labels."""
        return hashed([DatasetPictures(self, self.place).content().encode(), str(self.labels).encode()])


def check_all_readable(folder: Path) -> None:
    """Refuses a folder that the library would leave out because it cannot list it; the library
    looks into no hidden ones.

    Raises:
        Unreadable: names it.
    """
    for _, subfolders, _ in walk_readable(folder, "data.root"):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
