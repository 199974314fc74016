"""scikit-learn's handwritten digits, which need no download."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from lit_gan.data.image_source import ImageSource
from lit_gan.data.source import DatasetPictures, StoredSplit


class Digits(ImageSource):
    """1,797 real handwritten digits, 8x8 pixels with 17 grey levels, enlarged bilinearly.

    Alpaydin and Kaynak 1998 (UCI optical recognition of handwritten digits, the test set), as
    scikit-learn ships it. So small a set is not cut in two: all of it is "train".
    """

    published = True

    def load(self, which: str) -> StoredSplit:
        """All digits, decoded."""
        pixels, labels = load_digits(return_X_y=True)
        pixels = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        pictures = [(Image.fromarray(image), label) for image, label in zip(pixels, labels, strict=True)]
        return self.stored(self.files(DatasetPictures(pictures, "data=digits")))
