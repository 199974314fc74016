"""AuthPct: how many samples are more than copies of training images."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import show_histograms, titled_figure
from lit_gan.analysis.neighbours import KIND_NAMES, Points, Queries, nearest_neighbours, reference_images, spaces
from lit_gan.analysis.subject import Subject
from lit_gan.figures.style import GREY
from lit_gan.ranges import AtLeastTwo, Count, checked


class Authenticity(Analysis):
    """AuthPct, the share of samples that are farther from their nearest training image than that is
    from its nearest other one. Alaa et al. 2022, as Stein et al. 2023 compute it. Training images are
    those that the players have been shown.

    A generator that copies has 0, one that makes noise far from the data has 1: it is no score of
    quality, and Stein et al. find that it does not detect copies reliably. A perfect generator does
    not have 1 either, for its samples are as near to training images as these are to each other: of
    points of an even density 0.33 are authentic on a line, 0.38 in the plane, 0.41 in space, and
    nearly 0.5 in many dimensions; of CIFAR-10's test images 0.72, as DINOv2 sees them (Stein et
    al.). So it is read against that of unseen real images, and without a split "test", of training
    images among the others.

    It is measured in pixel space, and in the feature space of the run's metrics if these have one.
    The code of Alaa et al. scores real images instead of samples, and Stein et al. do not follow it.

    Columns: space, kind ("sample", "test" or "train"), number (of the sample, or of the image in
    its split), index (of the nearest image in "train"), distance to it, spacing (the distance of
    that image to its nearest other one), authentic (whether it is less than the distance).
    Distances are root mean squares over the coordinates; pixels are in [-1, 1].

    Args:
        samples: number of generated samples, and of reference images.
        images: at most so many training images are searched.
    """

    @checked
    def __init__(self, samples: Count = 2000, images: AtLeastTwo = 50_000):
        self.samples, self.images = samples, images

    def check(self, subject: Subject) -> None:
        """Refuses points and text, and a single image."""
        check_images("authenticity", subject)
        check_enough("authenticity", subject, shown=True)

    def find(self, subject: Subject) -> Finding:
        """Draws for each space how much farther than the spacing samples and real images are."""
        numbers, images, _ = subject.shown(self.images)
        samples = Queries("sample", torch.arange(self.samples), subject.pixels(self.samples))
        asked = [samples, reference_images(subject, min(self.samples, self.images))]
        rows, words, ways = [], [], spaces(subject)
        plot = titled_figure(6 * len(ways), 4, "Distance to the nearest training image, over that image's spacing")
        for axes, (name, way) in zip(plot.subplots(1, len(ways), squeeze=False)[0], ways.items(), strict=True):
            bank = way(images)
            found = [beside_spacing(way(some.images), bank, some.own) for some in asked]
            rows += [row for each in zip(asked, found, strict=True) for row in authenticity_rows(name, *each, numbers)]
            shares = [near.authentic.float().mean().item() for near in found]
            words.append(f"{name} {shares[0]:.1%} ({asked[1].kind} images {shares[1]:.1%})")
            show_ratios(axes, name, asked, found)
        return Finding(f"authentic samples: {', '.join(words)}", rows, plot)


class Beside(NamedTuple):
    """The nearest training image of n images, and how near it is to others.

    Attributes:
        places: of it among the images that were searched.
        distances: to it.
        spacings: its distances to its nearest other one.
    """

    places: Int[Tensor, " n"]
    distances: Float[Tensor, " n"]
    spacings: Float[Tensor, " n"]

    @property
    def authentic(self) -> Bool[Tensor, " n"]:
        """Which of the n images are farther than the spacing."""
        return self.spacings < self.distances


def beside_spacing(points: Points, bank: Points, own: Int[Tensor, " n"] | None = None) -> Beside:
    """The nearest points of a bank with at least two.

    Args:
        own: as `nearest_neighbours` has it. A point of the bank itself is then judged as if the
            bank did not hold it: it is authentic unless it is its neighbour's nearest.
    """
    near = nearest_neighbours(points, bank, 1, own)
    places, again = near.places[:, 0].unique(return_inverse=True)
    spacings = nearest_neighbours(bank[places], bank, 1, places).distances[again, 0]
    return Beside(places[again], near.distances[:, 0], spacings)


def authenticity_rows(space: str, asked: Queries, found: Beside, numbers: Int[Tensor, " n"]) -> list[dict[str, Any]]:
    """The rows of the table: one for each image."""
    columns = (asked.numbers, numbers[found.places], found.distances, found.spacings, found.authentic.int())
    names = ("number", "index", "distance", "spacing", "authentic")
    return [
        {"space": space, "kind": asked.kind} | dict(zip(names, values, strict=True))
        for values in zip(*(column.tolist() for column in columns), strict=True)
    ]


def show_ratios(axes: Axes, space: str, asked: list[Queries], found: list[Beside]) -> None:
    """Draws histograms of distance over spacing, in which those above 3 are at 3."""
    ratios = [(near.distances / near.spacings).nan_to_num(0, posinf=3).clamp(max=3).numpy() for near in found]
    names = [KIND_NAMES[some.kind] for some in asked]
    show_histograms(axes, dict(zip(names, ratios, strict=True)), (0, 3), density=True)
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set(title=space, xlabel="distance / spacing (authentic: above 1; 0: a copy)", ylabel="density")
