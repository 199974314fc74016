"""Every data set that torchvision reads, in one class."""

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from filelock import FileLock
from PIL import Image
from torch.utils.data import Dataset
from torchvision import datasets

from lit_gan.data.image_source import ImageSource, MemoryLimit, Packing
from lit_gan.data.source import DatasetPictures, ImageFiles, StoredSplit
from lit_gan.errors import UserError
from lit_gan.ranges import Count, CountOrNone, HowRead, ReadsPath, Switch, Whole, checked
from lit_gan.records.paths import absolute


class TorchvisionSet(ImageSource):
    """A torchvision data set, read from `root` or downloaded into it.

    Args:
        dataset: torchvision's class; it is called with `root`, the arguments of a split and, to
            download, `download`.
        splits: the arguments that give each split.
        root: the folder of the data.
        download: whether missing data is downloaded.
        remedy: how missing data can be got, for the message that says it is missing.
    """

    published = True

    @checked
    def __init__(
        self,
        name: str,
        image_size: Count,
        channels: Count,
        shape: Sequence[int],
        n_classes: CountOrNone,
        dataset: Callable[..., Dataset],
        splits: Mapping[str, Mapping],
        root: Annotated[str, ReadsPath()],
        download: Annotated[Switch, HowRead()],
        in_memory: MemoryLimit,
        pad: Whole = 0,
        remedy: Annotated[str, HowRead()] = "run the same command once with internet access and data.download=true",
        pack: Packing = False,
    ):
        super().__init__(name, image_size, channels, shape, n_classes, in_memory, pad, pack)
        self.dataset, self.splits, self.root = dataset, splits, Path(absolute("data.root", root))
        self.download, self.remedy = download, remedy

    def load(self, which: str) -> StoredSplit | ImageFiles:
        """One split, stored as `ImageSource.stored` says.

        Raises:
            UserError: the data are neither found nor downloaded, or a package for reading them is
                missing.
        """
        pictures = self._read(which)
        self._classes = tuple(getattr(pictures, "classes", ()))
        where = f"data={self.name} ({which}) in data.root={self.root}"
        return self.stored(self.files(DatasetPictures(pictures, where)))

    @property
    def class_names(self) -> Sequence[str] | None:
        """The names that torchvision gives the classes; None if it gives none.

        Raises:
            UserError: as `load`.
        """
        if self.n_classes is None:
            return None
        self.split("train")
        return self._classes if len(self._classes) == self.n_classes else None

    def _read(self, which: str) -> Dataset:
        try:
            return self._found_or_downloaded(self.splits[which])
        except ImportError as error:
            raise UserError(
                f"data={self.name} needs the Python package {error.name!r}, which is not installed: "
                f"pip install {error.name}, or use data=digits."
            ) from error
        except TypeError:  # a wrong argument in the config, which no download cures
            raise
        except Exception as error:
            raise UserError(
                f"data={self.name} ({which}) was not found in data.root={self.root} "
                f"({type(error).__name__}: {' '.join(str(error).split())}): {self.remedy}, or set data.root or "
                f"LIT_GAN_DATA to the folder that holds it, or use data=digits, which needs no download."
            ) from error

    def _found_or_downloaded(self, arguments: Mapping) -> Dataset:
        try:
            return self.dataset(root=self.root, **arguments)
        except (OSError, RuntimeError):
            if not self.download:
                raise
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f".{self.name}.lock"):
            return self.dataset(root=self.root, download=True, **arguments)


class IdxImages(Dataset):
    """The images and labels of two files in MNIST's idx format, gzipped or not.

    LeCun et al. 1998: a big-endian magic number (its last byte the number of dimensions), the
    dimensions, the bytes.
    """

    def __init__(self, images: Path, labels: Path, classes: Sequence[str] = ()):
        self.images, self.labels, self.classes = read_idx(images), read_idx(labels), classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.images[index]), int(self.labels[index])


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file.

    It is read here because torchvision's reader, `read_sn3_pascalvincent_tensor`, takes no gzipped
    files, and because its errors for a damaged file (AssertionError, KeyError, RuntimeError) do not
    name it.

    Raises:
        OSError: the file is missing, damaged or of another kind.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        shape = np.frombuffer(data, ">i4", data[3], 4)
        if data[:3] != b"\0\0\x08" or len(data) != 4 + 4 * len(shape) + shape.prod(dtype=int):
            raise ValueError("of another kind or length")
    except (EOFError, IndexError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(f"{path} is not an idx file of bytes, {error}") from error
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def fashion_mnist(root: Path, train: bool, packaged: Annotated[str, ReadsPath()], download: bool = False) -> Dataset:
    """Fashion-MNIST from its idx files in `root`, else in `packaged`, else by torchvision.

    Xiao et al. 2017. Debian's package dataset-fashion-mnist puts the files into
    /usr/share/datasets/fashion-mnist.
    """
    part = "train" if train else "t10k"
    for folder in (root, Path(packaged)):
        for ending in ("", ".gz"):
            images, labels = (folder / f"{part}-{kind}-ubyte{ending}" for kind in ("images-idx3", "labels-idx1"))
            if images.exists() and labels.exists():
                return IdxImages(images, labels, datasets.FashionMNIST.classes)
    return datasets.FashionMNIST(root, train=train, download=download)
