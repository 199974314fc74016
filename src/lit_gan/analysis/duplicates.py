"""Near-duplicates in a data set."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import contact_sheet, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.data import to_unit
from lit_gan.game import Images
from lit_gan.metrics.extractors import shrunk
from lit_gan.metrics.reading import subset_indices
from lit_gan.ranges import AtLeastTwo, Count, Probability, checked
from lit_gan.system.random_numbers import keeping_random_state

SIZE = 32
"""The height and width to which images are shrunk, in pixels, as in the paper."""


class Duplicates(Analysis):
    """Training images that share the binary code of an autoencoder. Radford et al. 2016, section
    4.1.

    A denoising autoencoder with one hidden layer, pixels-`bits`-pixels with dropout on the pixels
    and a ReLU, learns the images at 32 px, minus their mean. Which of its hidden units are positive
    is an image's code (a semantic hash): of all images with the same code the first one stays.
    Deviations: whole images are resized, where the paper takes centre crops; and the mean image is
    subtracted, without which most units are positive for every image, and images with nothing in
    common share a code.

    Columns: index (in the split "train"), label, stays (the index of the image that stays in its
    place, or its own), distance between the two (root mean square over the pixels in [-1, 1]).

    Args:
        bits: number of hidden units, 128 in the paper.
        updates: training steps of the autoencoder, in batches of 128.
        dropout: share of pixels set to 0 while training.
        images: at most so many images are looked at.
        shown: at most so many pairs stand in the picture.
    """

    @checked
    def __init__(
        self,
        bits: Count = 128,
        updates: Count = 2000,
        dropout: Probability = 0.5,
        images: AtLeastTwo = 200_000,
        shown: Count = 40,
    ):
        self.bits, self.updates, self.dropout, self.images, self.shown = bits, updates, dropout, images, shown

    def check(self, subject: Subject) -> None:
        """Refuses points and text, and a single image."""
        check_images("duplicates", subject)
        check_enough("duplicates", subject)

    def find(self, subject: Subject) -> Finding:
        """Draws the pairs side by side, the image that stays and its duplicate, the most different
        pairs first."""
        numbers, images, labels = self.read(subject)
        autoencoder = self.train(images, subject)
        codes = torch.cat([autoencoder.code(part.to(subject.device)).cpu() for part in images.split(1000)])
        stays = first_of_its_code(codes)
        apart = (to_unit(images) - to_unit(images[stays])).flatten(1).square().mean(1).sqrt()
        columns = zip(numbers.tolist(), labels.tolist(), numbers[stays].tolist(), apart.tolist(), strict=True)
        rows = [dict(zip(("index", "label", "stays", "distance"), values, strict=True)) for values in columns]
        again = (stays != torch.arange(len(stays))).nonzero().flatten()
        found = (
            f"{len(again)} of {len(images)} images ({len(again) / len(images):.2%}) share the code of an earlier one"
        )
        worst = again[apart[again].argsort(descending=True)][: self.shown]
        return Finding(found, rows, show_pairs(to_unit(images[torch.stack([stays[worst], worst], 1).flatten()]), found))

    def read(self, subject: Subject) -> tuple[Int[Tensor, " n"], UInt8[Tensor, "n c s s"], Int[Tensor, " n"]]:
        """The numbers of the images, in ascending order, the images at 32 px and their labels."""
        numbers = subset_indices(subject.source.split("train"), self.images).sort().values
        batches = [(shrunk(images, SIZE), labels) for images, labels in subject.batches("train", numbers)]
        images, labels = zip(*batches, strict=True)
        return numbers, torch.cat(images), torch.cat(labels)

    def train(self, images: UInt8[Tensor, "n c s s"], subject: Subject) -> "HashingAutoencoder":
        """The autoencoder after its training, in eval mode. Torch's random numbers are left as they
        were."""
        with keeping_random_state(subject.device):
            torch.manual_seed(subject.seed)
            autoencoder = HashingAutoencoder(images, self.bits, self.dropout).to(subject.device)
            optimizer = torch.optim.Adam(autoencoder.parameters(), lr=1e-3)
            for _ in range(self.updates):
                batch = images[torch.randint(len(images), (128,))].to(subject.device)
                loss = F.mse_loss(autoencoder(batch), autoencoder.centred(batch))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return autoencoder.eval()


class HashingAutoencoder(nn.Module):
    """A denoising autoencoder with one hidden layer of `bits` ReLUs, whose signs are the code of an
    image.

    It takes images as uint8, and centres and scales their pixels with the mean and deviation of
    those it is built from.
    """

    def __init__(self, images: UInt8[Tensor, "n c s s"], bits: int, dropout: float):
        super().__init__()
        # ten thousand images give the mean well enough, and all of them as floats might not fit into memory
        some = images[:: max(1, len(images) // 10_000)].flatten(1).float()
        self.register_buffer("mean", some.mean(0))
        self.register_buffer("std", (some - some.mean(0)).std() + 1e-6)
        pixels = some.shape[1]
        self.encode = nn.Sequential(nn.Dropout(dropout), nn.Linear(pixels, bits), nn.ReLU())
        self.decode = nn.Linear(bits, pixels)

    def centred(self, images: UInt8[Tensor, "b c s s"]) -> Float[Tensor, "b p"]:
        """The pixels with mean 0 and variance 1."""
        return (images.flatten(1) - self.mean) / self.std

    def forward(self, images: UInt8[Tensor, "b c s s"]) -> Float[Tensor, "b p"]:
        """The centred pixels, reconstructed."""
        return self.decode(self.encode(self.centred(images)))

    @torch.no_grad()
    def code(self, images: UInt8[Tensor, "b c s s"]) -> Bool[Tensor, "b bits"]:
        """Which hidden units are positive."""
        return self.encode(self.centred(images)) > 0


def first_of_its_code(codes: Bool[Tensor, "n bits"]) -> Int[Tensor, " n"]:
    """The index of the first code that equals each code."""
    _, first, group = np.unique(np.packbits(codes.numpy(), axis=1), axis=0, return_index=True, return_inverse=True)
    return torch.from_numpy(first[group.flatten()])


def show_pairs(pairs: Images, found: str) -> Figure:
    """A figure of pairs of images, four pairs in a row, under the sentence `found`; the bare
    sentence without pairs."""
    if len(pairs):
        return contact_sheet(pairs, 8, f"{found}\n(left: stays, right: its duplicate; the most different pairs first)")
    return titled_figure(7, 1, found)
