"""Splits that do not fit into memory: decoded once into a file, which all runs map into theirs."""

import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from lit_gan.data.source import BrokenImage, ImageFiles, StoredSplit
from lit_gan.errors import UserError
from lit_gan.records.cache_folder import cache_folder
from lit_gan.records.files import Unwritable, write_text
from lit_gan.system.watching import watched

log = logging.getLogger(__name__)

IMAGES, ROWS = "images", "rows"
"""The files of a pack: uint8 [m, h, w, c], and for each image its number in the split and its
label, int64 [m, 2]."""

FINGERPRINT = "fingerprint"
"""The file with the hash of a pack's images and labels."""

BLOCK = 2**24
"""Bytes of images that are decoded by all threads together and then written."""


class Packed(StoredSplit):
    """A split in a file, of which the system keeps in memory what was read last.

    Its images lie in the file pixel by pixel, the channels side by side, so that batches of them
    are in torch.channels_last without a copy. They must not be written to.

    Args:
        folder: of the pack.
        files: the same split undecoded.
    """

    def __init__(self, folder: Path, files: ImageFiles):
        numbers, labels = read_rows(folder).T
        channels, height, width = files.shape
        shape = (len(numbers), height, width, channels)
        # an empty file cannot be mapped
        pixels = np.memmap(folder / IMAGES, np.uint8, "r", shape=shape) if len(numbers) else np.empty(shape, np.uint8)
        super().__init__(as_tensor(pixels).permute(0, 3, 1, 2), torch.from_numpy(labels.copy()))
        self.folder, self.files = folder, files
        self.broken = np.setdiff1d(np.arange(len(files)), numbers).tolist()
        """The numbers of the images that could not be decoded, which the pack does without."""

    def fingerprint(self) -> str:
        """That of the same images in memory, which is kept in the pack once it is known."""
        path = self.folder / FINGERPRINT
        with suppress(FileNotFoundError):
            return path.read_text(encoding="ascii")
        found = super().fingerprint()
        with suppress(Unwritable):  # a pack may be another's, and then each process finds out for itself
            write_text(path, found)
        return found


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor over the memory of an array that cannot be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def packed(files: ImageFiles, name: str, skip_broken: bool = False) -> Packed:
    """A split from its pack in the cache folder, which one process makes while the others wait.

    A pack is found by a hash of the images' content and of how they are decoded, wherever they lie.

    Args:
        name: of the data set, for messages and the name of the folder.
        skip_broken: whether images that cannot be decoded are left out.

    Raises:
        BrokenImage: for the first image that cannot be decoded, if it is not to be left out. A pack
            that was begun goes on from there when it is.
        UserError: the pack does not fit onto the disk, or the cache folder cannot be written.
    """
    fingerprint = files.fingerprint()  # reads the images: what fails there is no fault of the cache folder
    with explained(name):
        folder = cache_folder() / "packs" / f"{name}-{files.shape[-1]}px-{fingerprint}"
        made = False
        if not is_whole(folder, files):
            with sole_packer(folder, name):
                if made := not is_whole(folder, files):
                    make_pack(folder, files, name, skip_broken)
        split = Packed(folder, files)
        if not made and split.broken and any_decodes(files, split.broken, skip_broken):
            log.info("data=%s: an image that could not be read when it was to be packed can be now", name)
            with sole_packer(folder, name):
                if Packed(folder, files).broken == split.broken:  # no other process has packed them again
                    make_pack(folder, files, name, skip_broken)
            split = Packed(folder, files)
    log.info("data=%s: %d images are read from %s", name, len(split), folder)
    return split


def any_decodes(files: ImageFiles, numbers: Sequence[int], skip_broken: bool) -> bool:
    """Whether one of the images that a pack does without can be decoded after all.

    Raises:
        BrokenImage: for the first one that cannot, if it is not to be left out.
    """
    for number in numbers:
        try:
            files[number]
        except BrokenImage:
            if not skip_broken:
                raise
        else:
            return True
    return False


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Answers what the disk does not do with the settings that help.

    Raises:
        UserError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"data={name} cannot be packed, because {error.filename or 'the cache folder'} cannot be written "
            f"({error.strerror}): make room there, or set LIT_GAN_CACHE to a folder of yours; data.pack=false decodes "
            f"each image whenever it is needed."
        ) from error


@contextmanager
def sole_packer(folder: Path, name: str) -> Iterator[None]:
    """Holds the lock of a pack, which the system takes back from a process that is killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("data=%s: another process packs the images, and this one waits for it", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_whole(folder: Path, files: ImageFiles) -> bool:
    """Whether a folder is a finished pack whose two files belong together."""
    if not folder.is_dir():
        return False
    expected = len(read_rows(folder)) * math.prod(files.shape)
    return (folder / IMAGES).is_file() and (folder / IMAGES).stat().st_size == expected


def read_rows(folder: Path) -> np.ndarray:
    """The numbers and labels of the images of a pack, int64 [m, 2]; none where there is no such
    file."""
    path = folder / ROWS
    content = path.read_bytes() if path.is_file() else b""
    return np.frombuffer(content[: len(content) // 16 * 16], "<i8").reshape(-1, 2)


def make_pack(folder: Path, files: ImageFiles, name: str, skip_broken: bool) -> None:
    """Decodes a split into a folder, which has its name once it is complete.

    A process that is killed leaves behind what it has packed, and the next one goes on from there.

    Raises:
        BrokenImage: for an image that cannot be decoded and is not to be left out.
        UserError: there is not enough room for what is to come.
    """
    part, size, began = Path(f"{folder}.part"), math.prod(files.shape), time.perf_counter()
    first = whole_rows(part, size)
    require_space(part, (len(files) - first) * (size + 16), name)
    log.info("data=%s: packing %d images%s", name, len(files), f", {first} of them done before" if first else "")
    starts = range(first, len(files), max(1, BLOCK // size))
    with ThreadPoolExecutor() as pool:
        for start in watched(starts, len(starts), "packing images"):
            numbers = range(start, min(start + starts.step, len(files)))
            add_block(part, *decoded(files, numbers, pool, skip_broken))
    shutil.rmtree(folder, ignore_errors=True)  # of a damaged pack
    os.rename(part, folder)
    rate = (len(files) - first) / (time.perf_counter() - began)
    log.info("data=%s: packed into %s, %.0f images/s", name, folder, rate)


def whole_rows(part: Path, size: int) -> int:
    """Cuts an unfinished pack back to its whole images, `size` bytes each; the number of the next
    one."""
    part.mkdir(exist_ok=True)
    for name in (IMAGES, ROWS):
        (part / name).touch()
    rows = read_rows(part)[: (part / IMAGES).stat().st_size // size]
    os.truncate(part / ROWS, rows.nbytes)
    os.truncate(part / IMAGES, len(rows) * size)
    return int(rows[-1, 0]) + 1 if len(rows) else 0


def require_space(folder: Path, needed: int, name: str) -> None:
    """Refuses a pack for which the disk is too small.

    Raises:
        UserError: names the bytes that it needs and those that there are.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"data={name} needs {needed:,} bytes in {folder.parent}, where {free:,} are free: make room, or set "
            f"LIT_GAN_CACHE to a folder on a larger disk; data.pack=false decodes each image whenever it is needed."
        )


def decoded(
    files: ImageFiles, numbers: Sequence[int], pool: ThreadPoolExecutor, skip_broken: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels [m, h, w, c], and the numbers and labels [m, 2], of those images that can be
    decoded."""
    channels, height, width = files.shape
    images = np.empty((len(numbers), height, width, channels), np.uint8)

    def fill(place: int) -> int | None:
        try:
            pixels, label = files[numbers[place]]
        except BrokenImage:
            if skip_broken:
                return None
            raise
        images[place] = pixels.permute(1, 2, 0).numpy()
        return label

    # threads are as quick as processes: Pillow lets go of Python's lock while it decodes and resizes
    labels = list(pool.map(fill, range(len(numbers))))
    kept = [place for place, label in enumerate(labels) if label is not None]
    rows = np.array([(numbers[place], labels[place]) for place in kept], "<i8").reshape(-1, 2)
    return images[kept], rows


def add_block(part: Path, images: np.ndarray, rows: np.ndarray) -> None:
    """Adds images to an unfinished pack: their rows only once they are on the disk themselves."""
    for name, array in ((IMAGES, images), (ROWS, rows)):
        with (part / name).open("ab") as file:
            file.write(array.data)
            file.flush()
            os.fsync(file.fileno())
