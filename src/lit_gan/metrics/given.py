"""Images that were made elsewhere, as a stream of samples to score."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_gan.data import ImageFiles, to_unit
from lit_gan.data.arrays import ArrayPictures, may_be_images
from lit_gan.data.image_files import FilePictures, pillow_endings, survey
from lit_gan.data.own_images import headers
from lit_gan.data.source import BrokenImage, UndecodedImages
from lit_gan.errors import UserError, one_line
from lit_gan.metrics.reading import subset_indices


class GivenImages:
    """The images in a folder or an array, as a stream: calling it with n gives the next n.

    They come in a random order that is always the same, so that the first ones of a folder with a
    subfolder for each class are of all classes. Grey ones are taken for coloured ones where the
    shape has three channels, and coloured ones for grey ones where it has one.

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
            IndexError: there are not so many left.
        """
        self.passed += n
        if self.passed > len(self):
            raise IndexError(f"{self.passed} of {len(self)} images are asked for")

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
    listing = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items()) or "none"
    fitting = [array for array in arrays.values() if may_be_images(array)]
    if len(fitting) != 1:
        raise UserError(
            f"images={file} must hold one array of images, [n, height, width, channels] or [n, channels, height, "
            f"width], and has {listing}: save the images alone."
        )
    if fitting[0].dtype != np.uint8:
        raise UserError(f"images={file} holds {listing}, but images must be uint8, as files are: round them to that.")
    return ArrayPictures(fitting[0], np.zeros(len(fitting[0]), int), f"images={file}", None)


def arrays_of(file: Path) -> dict[str, np.ndarray]:
    """The arrays in a file of NumPy by their names; a single one is called "array".

    Raises:
        UserError: it is none.
    """
    try:
        content = np.load(file, mmap_mode="r", allow_pickle=False)
        return {"array": content} if isinstance(content, np.ndarray) else {name: content[name] for name in content}
    except Exception as error:  # zip, zlib, pickle and NumPy each raise their own
        reason = "it holds no plain numbers" if "pickle" in str(error) else one_line(str(error))
        raise UserError(f"images={file} cannot be read ({reason}): name a folder, or a file .npy or .npz.") from error


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
                f"{width}x{height}: set data.image_size={min(found)}, or resize the images yourself."
            )
