"""Whether G has memorised its training images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import show_histograms, show_images, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.data import to_unit
from lit_gan.ranges import AtLeastTwo, Count, checked

KIND_NAMES = {"sample": "generated samples", "test": "unseen real images", "train": "training images, to the others"}
"""What a figure calls the kinds of images whose neighbours are looked for."""

Pixels = UInt8[Tensor, "n c h w"]
Points = Float[Tensor, "n d"]


class Nearest(NamedTuple):
    """The nearest training images of n images, the nearest first.

    Attributes:
        places: indices of the neighbours among the images that were searched.
        distances: to them.
    """

    places: Int[Tensor, "n k"]
    distances: Float[Tensor, "n k"]


class Queries(NamedTuple):
    """Images whose neighbours are looked for.

    Attributes:
        kind: "sample", "test" or "train".
        numbers: of the samples, or of the images in their split.
    """

    kind: str
    numbers: Int[Tensor, " n"]
    images: Pixels

    @property
    def own(self) -> Int[Tensor, " n"] | None:
        """The places of training images among those that are searched, of which they are the first;
        None for other images."""
        return torch.arange(len(self.images)) if self.kind == "train" else None


class Neighbours(Analysis):
    """The nearest training images of samples, and whether they are nearer than those of real images
    are. Training images are those that the players have been shown.

    They are looked for in pixel space, and in the feature space of the run's metrics if these have
    one. The reference is the distance from images of the split "test" to their nearest training
    image, or, without a "test", from training images to their nearest other one. Samples much
    nearer than that are copies.

    Columns: space, kind ("sample", "test" or "train"), number (of the sample, or of the image in
    its split), rank, index (of the neighbour in "train"), distance (root mean square difference of
    the coordinates; pixels in [-1, 1]).

    Args:
        samples: number of generated samples, and of reference images.
        neighbours: number of neighbours of each.
        shown: number of samples in the picture.
        images: at most so many training images are searched.
    """

    @checked
    def __init__(self, samples: Count = 500, neighbours: Count = 5, shown: Count = 8, images: AtLeastTwo = 50_000):
        self.samples, self.neighbours, self.shown, self.images = samples, neighbours, shown, images

    def check(self, subject: Subject) -> None:
        """Refuses points and text, and a single image."""
        check_images("neighbours", subject)
        check_enough("neighbours", subject, shown=True)

    def find(self, subject: Subject) -> Finding:
        """Draws for each space the first samples with their neighbours, and the distances to the
        nearest."""
        numbers, images, _ = subject.shown(self.images)
        samples = Queries("sample", torch.arange(self.samples), subject.pixels(self.samples))
        asked = [samples, reference_images(subject, min(self.samples, self.images))]
        rows, words = [], []
        ways = spaces(subject)
        plot = titled_figure(11, 5 * len(ways), "Samples (left column) and their nearest training images")
        grid = plot.subplots(len(ways), 2, squeeze=False)
        for (name, way), (left, right) in zip(ways.items(), grid, strict=True):
            near = self.search(way, images, asked)
            rows += neighbour_rows(name, asked, near, numbers)
            show_neighbours(left, asked[0].images[: self.shown], images[near[0].places[: self.shown]], name)
            show_distances(right, asked, near)
            medians = [found.distances[:, 0].median().item() for found in near]
            words.append(f"{name} {medians[0]:.3g} ({asked[1].kind} images {medians[1]:.3g})")
        return Finding(f"median distance to the nearest: {', '.join(words)}", rows, plot)

    def search(self, way: Callable[[Pixels], Points], images: Pixels, asked: list[Queries]) -> list[Nearest]:
        """The neighbours in one space; a training image is not its own."""
        bank = way(images)
        k = min(self.neighbours, len(bank) - 1)
        return [nearest_neighbours(way(some.images), bank, k, some.own) for some in asked]


def reference_images(subject: Subject, n: int) -> Queries:
    """At most n images of the test split, or without one the first n of the training images, random
    ones, that are searched."""
    kind = "test" if "test" in subject.source.splits else "train"
    numbers, images, _ = subject.real(kind, n) if kind == "test" else subject.shown(n)
    return Queries(kind, numbers, images)


def spaces(subject: Subject) -> dict[str, Callable[[Pixels], Points]]:
    """The functions that turn images into points to compare: by their pixels, and by the run's own
    extractor."""
    ways = {"pixels": lambda images: to_unit(images).flatten(1)}
    if (extractor := subject.extractor) is not None:
        ways[f"{extractor.prefix(subject.source)} features"] = lambda images: torch.cat(
            [extractor(part).pool.cpu() for part in images.split(subject.batch_size)]
        )
    return ways


def nearest_neighbours(points: Points, bank: Points, k: int, own: Int[Tensor, " n"] | None = None) -> Nearest:
    """The k nearest points of a bank and their root mean square distances.

    Args:
        own: the places of the points themselves in the bank, which do not count as neighbours; None
            where they are not in it.
    """
    places = []
    for start in range(0, len(points), 250):
        part = points[start : start + 250]
        apart = torch.cdist(part, bank)
        if own is not None:
            apart[torch.arange(len(part)), own[start : start + len(part)]] = torch.inf
        places.append(apart.topk(k, largest=False).indices)
    places = torch.cat(places)
    # cdist loses digits of small distances, which are the ones that tell a copy
    exact = torch.stack([(bank[column] - points).square().mean(1).sqrt() for column in places.T], 1)
    return Nearest(places, exact)


def neighbour_rows(
    space: str, asked: list[Queries], near: list[Nearest], numbers: Int[Tensor, " n"]
) -> list[dict[str, Any]]:
    """The rows of the table: one for each image and each of its neighbours."""
    return [
        {"space": space, "kind": some.kind, "number": number, "rank": rank, "index": index, "distance": distance}
        for some, found in zip(asked, near, strict=True)
        for number, indices, apart in zip(
            some.numbers.tolist(), numbers[found.places].tolist(), found.distances.tolist(), strict=True
        )
        for rank, (index, distance) in enumerate(zip(indices, apart, strict=True), start=1)
    ]


def show_neighbours(axes: Axes, samples: Pixels, neighbours: UInt8[Tensor, "n k c h w"], space: str) -> None:
    """Draws one row for each sample: the sample itself, then its neighbours."""
    rows = to_unit(torch.cat([samples[:, None], neighbours], 1))
    show_images(axes, rows.flatten(0, 1), rows.shape[1], f"nearest by {space}")


def show_distances(axes: Axes, asked: list[Queries], near: list[Nearest]) -> None:
    """Draws histograms of the distances to the nearest neighbour."""
    first = {KIND_NAMES[some.kind]: found.distances[:, 0].numpy() for some, found in zip(asked, near, strict=True)}
    show_histograms(axes, first, (0, max(values.max() for values in first.values())))
    axes.set(xlabel="distance to the nearest training image", ylabel="images")
