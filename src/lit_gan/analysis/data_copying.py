"""C_T: whether samples are nearer to the training images than unseen real images are."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.neighbours import Points, nearest_neighbours, spaces
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, GREY
from lit_gan.ranges import AtLeastTwo, Count, Range, checked

ENOUGH = 20
"""Samples without which a cell does not count, as in the code of Stein et al. 2023."""


class DataCopying(Analysis):
    """C_T, the test for copies of Meehan et al. 2020: below 0 samples are nearer to the
    training images than unseen real ones are, above 0 they are farther. Training images are those
    that the players have been shown.

    The space is cut into cells by k-means of the training images. In each cell the distances of
    samples and of test images to their nearest training image of that cell are compared by a
    Mann-Whitney U, as Z = (U - n m / 2) / sqrt(n m (n + m + 1) / 12) of n test images and m samples.
    C_T is the mean of Z over the cells with at least 20 samples, weighted by their shares of the
    test images. For a perfect generator Z is standard normal in each cell; for one that copies the
    training set it is -sqrt(3 n m / (n + m + 1)), so that values of different numbers of images
    cannot be compared. Stein et al. 2023 find that it confuses copies with the quality of samples
    and with lost modes.

    It is measured in pixel space, and in the feature space of the run's metrics if these have one,
    both reduced to their first principal components in the training images. The authors' code adds
    1/2 to U as a continuity correction, which is less than 0.001 of Z from 120 images of each kind
    on, and takes cells with more than 20 samples.

    Columns: space, cell, train, test and samples (images of each kind in it), z (empty where one
    kind is missing), weight (its share of the test images, or 0 where it does not count).

    Args:
        samples: number of generated samples, and of test images at most.
        images: at most so many training images are searched.
        cells: number of cells, 3 in the code of Stein et al., and not more than `images`.
        components: number of principal components, 64 there.
    """

    @checked
    def __init__(
        self,
        samples: Annotated[int, Range(ENOUGH)] = 2000,
        images: AtLeastTwo = 50_000,
        cells: Count = 3,
        components: Count = 64,
    ):
        if cells > images:
            raise UserError(
                f"analysis.data_copying.cells={cells} are more than analysis.data_copying.images={images}: lower it."
            )
        self.samples, self.images, self.cells, self.components = samples, images, cells, components

    def check(self, subject: Subject) -> None:
        """Refuses points and text, data without a split "test", and fewer images than cells.

        Raises:
            UserError: names which of them it is.
        """
        check_images("data_copying", subject)
        if "test" not in subject.source.splits:
            raise UserError(
                f"analysis=data_copying compares samples with images that G has not seen, and data="
                f"{subject.source.name} has no split 'test': choose a run on data with one, or analysis=authenticity."
            )
        check_enough("data_copying", subject, max(2, self.cells), shown=True)

    def find(self, subject: Subject) -> Finding:
        """Draws the Z of each cell."""
        images = [subject.shown(self.images)[1], subject.real("test", self.samples)[1]]
        images.append(subject.pixels(self.samples))
        rows, words, ways = [], [], spaces(subject)
        title = "C_T: below 0, nearer to the training images\nthan unseen images are"
        plot = titled_figure(1 + 4 * len(ways), 4, title)
        for axes, (name, way) in zip(plot.subplots(1, len(ways), squeeze=False)[0], ways.items(), strict=True):
            reduced = principal_components([way(some) for some in images], self.components, subject.seed)
            some = list(self.cell_rows(name, *reduced, subject.seed))
            words.append(f"{name} {self.statistic(some):.2f}")
            axes.bar(range(self.cells), [row["z"] or 0 for row in some], color=BLUE, tick_label=range(self.cells))
            axes.axhline(0, color=GREY, linewidth=1)
            axes.set(title=words[-1], xlabel="cell of the space", ylabel="Z, in standard deviations")
            rows += some
        return Finding(f"C_T: {', '.join(words)} (far below 0: copies, far above: nothing like the data)", rows, plot)

    def cell_rows(
        self, space: str, train: Points, test: Points, samples: Points, seed: int
    ) -> Iterator[dict[str, Any]]:
        """One row for each cell."""
        from sklearn.cluster import KMeans

        cells = KMeans(self.cells, n_init=10, random_state=seed).fit(train.numpy())
        places = [cells.predict(points.numpy()) for points in (train, test, samples)]
        for cell in range(self.cells):
            x, *others = (p[where == cell] for p, where in zip((train, test, samples), places, strict=True))
            n, m = map(len, others)
            z = z_score(*(nearest_neighbours(p, x, 1).distances[:, 0] for p in others)) if n and m and len(x) else None
            weight = n / len(test) if m >= ENOUGH and len(x) else 0
            yield {"space": space, "cell": cell, "train": len(x), "test": n, "samples": m, "z": z, "weight": weight}

    def statistic(self, rows: list[dict[str, Any]]) -> float:
        """C_T from the rows of a space.

        Raises:
            UserError: no cell has enough samples and a test image.
        """
        total = sum(row["weight"] for row in rows)
        if not total:
            raise UserError(
                f"analysis.data_copying.samples={self.samples} leaves no cell with {ENOUGH} samples and a test image: "
                f"raise it, or lower analysis.data_copying.cells={self.cells}."
            )
        return sum(row["weight"] * row["z"] for row in rows if row["weight"]) / total


def principal_components(sets: list[Points], components: int, seed: int) -> list[Points]:
    """Sets of points in the first principal components of the first set; as they are where they have
    no more coordinates."""
    from sklearn.decomposition import PCA

    if sets[0].shape[1] <= components:
        return sets
    axes = PCA(min(components, len(sets[0])), random_state=seed).fit(sets[0].numpy())
    return [torch.from_numpy(axes.transform(points.numpy())) for points in sets]


def z_score(test: Float[Tensor, " n"], samples: Float[Tensor, " m"]) -> float:
    """The standardised U of the samples' distances: below 0 where they are the smaller ones."""
    from scipy.stats import mannwhitneyu

    n, m = len(test), len(samples)
    u = mannwhitneyu(samples.numpy(), test.numpy(), method="asymptotic").statistic
    return float((u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))
