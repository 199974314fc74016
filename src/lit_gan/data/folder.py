"""Any folder of images."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps
from torchvision.datasets.folder import IMG_EXTENSIONS

from lit_gan.data.source import BrokenImage, ImageFiles, Images, ImageSource
from lit_gan.errors import UserError

log = logging.getLogger(__name__)
ENDINGS = (*IMG_EXTENSIONS, ".gif", ".jfif")


class FilePictures:
    """Image files, opened on access and turned upright as their EXIF tag says."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int]):
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        try:
            with Image.open(self.paths[index]) as image:
                image.load()
                if image.mode == "F":
                    raise ValueError("its pixels are floating-point numbers")
                ImageOps.exif_transpose(image, in_place=True)
                return image, self.labels[index]
        except Exception as error:  # Pillow's decoders raise nearly anything
            raise BrokenImage(
                f"data.root: {self.paths[index]} is not a readable image ({type(error).__name__}: {error}): "
                f"remove it, or skip such files with data.on_broken=skip."
            ) from error


class ImageFolder(ImageSource):
    """The images in a folder and its subfolders, of any size, each resized and cut to its centre square.

    With a subfolder `train` the split "train" is that, and "test" is the subfolder `test` if there is one; otherwise
    everything is "train". Hidden files and folders are passed over.

    Args:
        root: the folder.
        n_classes: the number of class folders, the first folder level, which give the labels in alphabetical order;
            None ignores them.
        on_broken: "error" stops at a file that cannot be decoded; "skip" leaves such files out and counts them, for
            which every file is decoded once at the start.
    """

    def __init__(
        self,
        name: str,
        image_size: int,
        channels: int,
        shape: Sequence[int],
        n_classes: int | None,
        root: str | None,
        on_broken: Literal["error", "skip"],
        in_memory: int,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory)
        if on_broken not in ("error", "skip"):
            raise UserError(f"data.on_broken={on_broken} is not possible: choose from error, skip.")
        self.root, self.on_broken = None if root is None else Path(root).expanduser(), on_broken

    @cached_property
    def splits(self) -> dict[str, Path]:
        """The folder of each split."""
        if self.root is None:
            raise UserError(f"data={self.name} needs the folder that holds the images: set data.root=FOLDER.")
        if not self.root.is_dir():
            raise UserError(f"data.root={self.root} is not a folder: set data.root to the one that holds the images.")
        if not (self.root / "train").is_dir():
            return {"train": self.root}
        return {which: self.root / which for which in ("train", "test") if (self.root / which).is_dir()}

    def load(self, which: str) -> Images | ImageFiles:
        """One split, decoded if it is small.

        Raises:
            UserError: if there are no images, other class folders than expected, or an image that cannot be decoded.
        """
        paths = image_paths(self.splits[which])
        if self.on_broken == "skip":
            paths = self._readable(paths)
        if not paths:
            raise UserError(
                f"data.root={self.root} has no readable images in {self.splits[which]}: "
                f"set data.root to a folder with files like {', '.join(IMG_EXTENSIONS[:3])}."
            )
        return self.in_memory_if_small(self._files(paths, which))

    def _readable(self, paths: list[Path]) -> list[Path]:
        with ThreadPoolExecutor() as pool:
            readable = [path for path, fine in zip(paths, pool.map(is_readable, paths), strict=True) if fine]
        if skipped := sorted(set(paths) - set(readable)):
            log.warning(
                "data.root=%s: skipped %d broken of %d images, first %s",
                self.root,
                len(skipped),
                len(paths),
                skipped[0],
            )
        return readable

    def _files(self, paths: list[Path], which: str) -> ImageFiles:
        folder = self.splits[which]
        labels = [0] * len(paths)
        if self.n_classes is not None:
            number = {name: i for i, name in enumerate(self._class_names)}
            labels = [self._label(path.relative_to(folder), number) for path in paths]
        identity = "\n".join(f"{path.relative_to(folder)} {version(path)}" for path in paths)
        return self.files(FilePictures(paths, labels), identity)

    def _label(self, path: Path, number: dict[str, int]) -> int:
        if path.parts[0] not in number:
            raise UserError(f"data.root={self.root}: {path} is in none of its class folders: set data.n_classes=null.")
        return number[path.parts[0]]

    @cached_property
    def _class_names(self) -> list[str]:
        folder = self.splits["train"]
        parts = (path.relative_to(folder).parts for path in image_paths(folder))
        names = sorted({p[0] for p in parts if len(p) > 1})
        if len(names) != self.n_classes:
            raise UserError(
                f"data.n_classes={self.n_classes}, but {folder} has {len(names)} folders with images: "
                f"set data.n_classes={len(names) or 'null'}."
            )
        return names


def version(path: Path) -> str:
    """Size and time of the last change of a file; that it is missing will be said when it is opened."""
    try:
        facts = path.stat()
    except OSError:
        return "missing"
    return f"{facts.st_size} {facts.st_mtime_ns}"


def image_paths(folder: Path) -> list[Path]:
    """All image files below a folder, sorted; hidden files and folders, and links in a circle, are passed over."""
    found = []
    for path, subfolders, names in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and not circular(Path(path, name))]
        found += [Path(path, name) for name in names if not name.startswith(".") and name.lower().endswith(ENDINGS)]
    return sorted(found)


def circular(folder: Path) -> bool:
    """Whether a folder is a link to one of those that it lies in."""
    return folder.is_symlink() and folder.resolve() in {parent.resolve() for parent in folder.absolute().parents}


def is_readable(path: Path) -> bool:
    """Whether an image file can be decoded."""
    try:
        return FilePictures([path], [0])[0] is not None
    except BrokenImage:
        return False
