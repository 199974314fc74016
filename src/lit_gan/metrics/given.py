"""Images that were made elsewhere, as a stream of samples to score."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_gan.data import ImageFiles, to_unit
from lit_gan.data.arrays import UNREADABLE, ArrayPictures, listing, may_be_images, numpy_arrays, why
from lit_gan.data.image_files import FilePictures, pillow_endings, survey
from lit_gan.data.own_images import headers
from lit_gan.data.source import BrokenImage, UndecodedImages
from lit_gan.errors import UserError
from lit_gan.metrics.reading import subset_indices


class GivenImages:
    """The images in a folder or an array, as a stream: calling it with n gives the next n.

    They come in a random order that is always the same, so that the first ones of a folder with a
    subfolder for each class are of all classes. Each is brought to the channels of the shape as
    images of a data set are: see `lit_gan.data.source.as_pixels`.

    Args:
        place: a folder, whose subfolders are looked through too, or a file .npy or .npz with one
            array of uint8 [n, height, width, channels] or [n, channels, height, width].
        shape: (channels, height, width) of the samples.

    Raises:
        UserError: there are no images, one cannot be read, or one has another height or width.
    """

    def __init__(self, place: Path, shape: Sequence[int]):
        pictures = pictures_in_array(place) if place.is_file() else pictures_in_folder(place)
        require_size(pictures, shape[1:])
        self.files = ImageFiles(pictures, tuple(shape), labelled=False)
        self.order, self.passed = subset_indices(self.files, None), 0

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, n: int) -> Tensor:
        """The next n images, [n, *shape] in [-1, 1], on the CPU.

        Raises:
            UserError: one cannot be decoded.
        """
        numbers = self.order[self.passed : self.passed + n].tolist()
        self.skip(n)
        with ThreadPoolExecutor() as pool:
            images, _ = zip(*pool.map(self.files.__getitem__, numbers), strict=True)
        return to_unit(torch.stack(images))

    def skip(self, n: int) -> None:
        """Passes over the next n images.

        Raises:
            UserError: there are not so many left.
        """
        self.passed += n
        if self.passed > len(self):
            raise UserError(
                f"images: {self.passed} are asked for, and there are {len(self)}: a suite of your own that draws more "
                f"than protocol.generated says how many in a method wanted(protocol)."
            )

    def restart(self) -> "GivenImages":
        """The same stream, from the first image on."""
        self.passed = 0
        return self


class GivenFiles(FilePictures):
    """Image files that the setting `images` names, none of which may be left out."""

    setting = "images"

    def broken(self, index: int, reason: str) -> BrokenImage:
        """The error for a file that does not come out as pixels."""
        return BrokenImage(
            f"images: {self.name(index)} is not a readable image ({reason}): make it anew, or remove it."
        )


def pictures_in_folder(folder: Path) -> FilePictures:
    """The image files in a folder and its subfolders; hidden ones are passed over.

    Raises:
        UserError: there is no such folder, or there are none.
    """
    if not folder.is_dir():
        raise UserError(f"images={folder} is not there: name a folder of images, or a file .npy or .npz.")
    if (folder / "images").is_dir() and (folder / "grid.png").exists():
        raise UserError(
            f"images={folder} is what lit_gan.sample writes: name the folder in it, images={folder}/images."
        )
    found = survey(folder, pillow_endings(), GivenFiles.setting)
    if not found.images:
        raise UserError(f"images={folder} has no readable images, {found}: name a folder with files such as .png.")
    return GivenFiles(found.images, [0] * len(found.images))


def pictures_in_array(file: Path) -> ArrayPictures:
    """The images in the only array of a file of NumPy that can hold images.

    Raises:
        UserError: it cannot be read, has no such array or several, or its numbers are no bytes.
    """
    arrays = arrays_of(file)
    fitting = [array for array in arrays.values() if may_be_images(array) and array.size]
    if len(fitting) != 1:
        raise UserError(
            f"images={file} must hold one array of images, [n, height, width, channels] or [n, channels, height, "
            f"width], and has {listing(arrays)}: save the images alone."
        )
    if fitting[0].dtype != np.uint8:
        raise UserError(f"images={file} holds {listing(arrays)}, but images must be uint8, as files are: round them.")
    return ArrayPictures(fitting[0], np.zeros(len(fitting[0]), int), str(file), None)


def arrays_of(file: Path) -> dict[str, np.ndarray]:
    """The arrays in a file of NumPy by their names.

    Raises:
        UserError: it is none.
    """
    try:
        return numpy_arrays(file)
    except UNREADABLE as error:
        raise UserError(
            f"images={file} cannot be read ({why(error)}): name a folder, or a file .npy or .npz."
        ) from error


def require_size(pictures: UndecodedImages, size: Sequence[int]) -> None:
    """Refuses images of another size than the real ones, as a resize would change every score.

    Raises:
        UserError: names the first one.
    """
    height, width = size
    for number, (found, _) in headers(pictures, skip_broken=False):
        if found != (width, height):
            raise UserError(
                f"images: {pictures.name(number)} has {found[0]}x{found[1]} pixels, and the real images have "
                f"{width}x{height}: bring both to one size, yours by a resize of your own, or the real ones by "
                f"data.image_size=N and, of a set with a margin, data.pad=0."
            )
