"""Sets of encoded images that are listed first, wherever they lie, and decoded then."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lit_gan.data.image_files import FilePictures, Survey, pillow_endings
from lit_gan.data.own_images import OwnImages
from lit_gan.data.packed import Packed
from lit_gan.data.source import BrokenImage, ImageFiles, StoredSplit
from lit_gan.errors import UserError

log = logging.getLogger(__name__)


class SurveyedImages(OwnImages):
    """Encoded images, of which `survey` lists those of a split, and `labels` gives the classes.

    Attributes:
        on_broken: "error" stops at a file that does not come out as pixels; "skip" leaves such
            files out and counts them, for which every file is decoded once at the start, or when
            the split is packed.
        place: the setting that says where the images lie, with its value.
    """

    place: str

    def survey(self, which: str) -> Survey:
        """The images of a split."""
        raise NotImplementedError

    def labels(self, found: Survey, which: str) -> list[int]:
        """The label of each image; 0 where `n_classes` is None."""
        raise NotImplementedError

    def source_of(self, which: str) -> str:
        """What messages call the place of a split's images."""
        raise NotImplementedError

    def readable(self, images: Sequence, labels: Sequence[int]) -> FilePictures:
        """The images of a survey as pictures."""
        return FilePictures(images, labels)

    def pictures(self, which: str) -> FilePictures:
        """The images of a split with their labels, undecoded.

        Raises:
            UserError: there are none.
        """
        found = self.survey(which)
        self.require_images(found, which)
        return self.readable(found.images, self.labels(found, which))

    def load(self, which: str) -> StoredSplit | ImageFiles:
        """One split, stored as `ImageSource.stored` says.

        Raises:
            UserError: there are no images, other classes than expected, or an image that cannot be
                decoded.
        """
        found, skip = self.survey(which), self.on_broken == "skip"
        if skip and not (self.pack and not self.fits_into_memory(len(found.images))):
            found = self._without_broken(found)
        self.require_images(found, which)
        log.info("data=%s: %s in %s are used as %s images", self.name, found, self.source_of(which), which)
        split = self.stored(self.files(self.readable(found.images, self.labels(found, which))), skip)
        if isinstance(split, Packed):  # which has left out the broken ones while it decoded the others
            self.require_images(self._without(found, split.broken), which)
        return split

    def require_images(self, found: Survey, which: str) -> None:
        """Refuses a split in which there are no images.

        Raises:
            UserError: says what there is.
        """
        if not found.images:
            raise UserError(
                f"{self.place} has no readable images in {self.source_of(which)}, {found}: "
                f"set {self.place.split('=')[0]} to a place with images, such as files in .jpg or .png."
            )

    def _without_broken(self, found: Survey) -> Survey:
        return self._without(found, broken_among(self.files(self.readable(found.images, [0] * len(found.images)))))

    def _without(self, found: Survey, numbers: Sequence[int]) -> Survey:
        if not numbers:
            return found
        broken, everything = [found.images[number] for number in numbers], len(found.images)
        log.warning("%s: skipped %d broken of %d images, first %s", self.place, len(broken), everything, broken[0])
        return Survey(sorted(set(found.images) - set(broken)), found.left_out + Counter(broken=len(broken)))


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
