"""A small CNN that is trained on the data set itself: features for what ImageNet does not know."""

import logging
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from lit_gan.data import Source
from lit_gan.data.own_images import class_numbers
from lit_gan.errors import UserError
from lit_gan.metrics.cache import cached
from lit_gan.metrics.extractors import Extractor, Features, resized, shrunk
from lit_gan.metrics.reading import read_batches, subset_indices
from lit_gan.ranges import Count, Seed, checked
from lit_gan.system.random_numbers import keeping_random_state

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "weights"
"""The folder of the weights that come with the package."""
SHIPPED_AS = (3000, 0)
"""The updates and the seed of their training."""
IMAGES = 50_000
"""The most images that a classifier is trained and tested with."""


class ConvNet(nn.Module):
    """Three strided convolutions, the mean over space and a linear layer: 93,000 weights.

    Each convolution is followed by batch normalisation.

    Args:
        channels: of the images, which may be of any size.
        classes: the number of logits.
    """

    SIZE = 32
    """Height and width in pixels that images are resized to."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        widths = [channels, 32, 64, 128]
        self.body = nn.Sequential(*(block(*pair) for pair in pairwise(widths)))
        self.head = nn.Linear(128, classes)

    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """128 features and the logits of each image."""
        x = resized(images, self.SIZE) / 127.5 - 1
        pool = self.body(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return Features(pool, self.head(pool))


def block(inside: int, outside: int) -> nn.Sequential:
    """A convolution that halves the size and turns `inside` channels into `outside` ones."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class Trained(NamedTuple):
    """A classifier and its accuracy."""

    network: ConvNet
    accuracy: float | None
    """The share of the held-out fifth of the images that it recognises, from 0 to 1; None where
    there are too few images to hold one out."""

    def on_held_out(self) -> str:
        """How good it is, behind "it is"."""
        if self.accuracy is None:
            return "not tested, because of fewer than five images none is held out"
        return f"right on {self.accuracy:.2%} of held-out images"


def train_classifier(source: Source, updates: int, seed: int, device: torch.device | str = "cpu") -> Trained:
    """Trains a ConvNet on four fifths of (at most `IMAGES` of) the training split.

    AdamW, batches of 128 drawn with replacement, learning rate 3e-3 with one cycle (Smith and Topin
    2017). Every random number comes from `seed`; torch's own are left as they were.
    """
    images, labels = in_memory(source)
    held = len(images) // 5
    images, labels = images.to(device), labels.to(device)
    network = trained_network(images[held:], labels[held:], source.n_classes, updates, seed)
    if not held:
        return Trained(network, None)
    guesses = logits_of(network, images[:held]).argmax(1)
    return Trained(network, (guesses == labels[:held]).float().mean().item())


def trained_network(
    images: UInt8[Tensor, "n c s s"], labels: Int[Tensor, " n"], classes: int, updates: int, seed: int
) -> ConvNet:
    """A ConvNet in eval mode, trained on these images on their device.

    Every random number comes from `seed`; torch's own are left as they were.
    """
    device = images.device
    with keeping_random_state(device):
        torch.manual_seed(seed)
        network = ConvNet(images.shape[1], classes).to(device, memory_format=torch.channels_last)
        optimise(network, images, labels, updates)
    return network.eval()


@torch.no_grad()
def logits_of(network: ConvNet, images: UInt8[Tensor, "n c s s"]) -> Float[Tensor, "n k"]:
    """The logits of all images."""
    return torch.cat([network(part).logits for part in images.split(500)])


def in_memory(source: Source) -> tuple[UInt8[Tensor, "n c s s"], Int[Tensor, " n"]]:
    """Images of the classifier's size, and labels, in a random order that is always the same.

    Raises:
        UserError: the labels are of more classes than the data set is said to have.
    """
    dataset = source.split("train")
    read = read_batches(dataset, subset_indices(dataset, IMAGES), 500)
    batches = [(shrunk(images, ConvNet.SIZE), labels) for images, labels in read]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    class_numbers(labels, source.n_classes, f"data={source.name}: the classes")
    return images, labels


def optimise(network: ConvNet, images: Tensor, labels: Tensor, updates: int) -> None:
    """Trains a network; a line in the log tells every ten seconds how far it is."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=updates)
    told = time.monotonic()
    for update in range(updates):
        batch = torch.randint(len(images), (128,)).to(images.device)
        loss = F.cross_entropy(network(images[batch]).logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if time.monotonic() - told > 10:
            log.info(f"training a classifier: {update + 1} of {updates} updates")
            told = time.monotonic()


class Classifier(Extractor):
    """The classifier of the data set: shipped for digits and fashion_mnist, else, or with another seed
    or length, trained once.

    Its scores are named after the data set: `digits/fid`.

    Args:
        updates: the length of its training.
        seed: of its weights and its batches.

    Raises:
        UserError: there is no update to train it.
    """

    input_size = ConvNet.SIZE
    resize = "bilinear, antialiased"
    sees_fractions = True

    @checked
    def __init__(self, updates: Count = 3000, seed: Seed = 0):
        super().__init__()
        self.updates, self.seed = updates, seed

    def prefix(self, source: Source) -> str:
        """The data set's name."""
        return source.name

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """The classifier of a data set.

        Raises:
            UserError: the data have no labels.
        """
        if source.n_classes in (None, 1):
            raise UserError(
                f"metrics=classifier needs labels of two classes or more, and data={source.name} has none: "
                f"choose metrics=efficientnet_lite0 (works offline) or metrics=inception."
            )
        self.name = source.name
        network = ConvNet(source.shape[0], source.n_classes)
        as_shipped = source.published and (self.updates, self.seed) == SHIPPED_AS
        shipped = shipped_weights(source, network) if as_shipped else None
        network.load_state_dict(shipped or self.trained(source, device, network))
        return network

    def trained(self, source: Source, device: torch.device | str, network: ConvNet) -> dict[str, Tensor]:
        """The weights of such a network after its training, cached for all runs."""
        key = {
            "kind": "classifier",
            "data": source.name,
            "shape": list(source.shape),
            "classes": source.n_classes,
            "fingerprint": source.split("train").fingerprint(),
            "updates": self.updates,
            "seed": self.seed,
        }

        def compute() -> dict[str, Tensor]:
            found = train_classifier(source, self.updates, self.seed, device)
            log.info(f"The classifier of data={source.name} is {found.on_held_out()}.")
            return found.network.cpu().state_dict()

        return cached(key, compute, lambda state: fits(network, state))

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 128] features and the logits of the data set's classes."""
        return self.network(images)


def shipped_weights(source: Source, network: ConvNet) -> dict[str, Tensor] | None:
    """The weights that the package has for a data set; None if none fit the network."""
    path = SHIPPED / f"{source.name}.pt"
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state if fits(network, state) else None


def fits(network: ConvNet, state: dict[str, Tensor]) -> bool:
    """Whether weights have the names and shapes of those of a network."""
    known = {name: value.shape for name, value in network.state_dict().items()}
    return {name: value.shape for name, value in state.items()} == known
