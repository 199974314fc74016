"""The diversity of samples: how alike random pairs of them are."""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, MARKERS, VERMILION
from lit_gan.layers import n_classes_of
from lit_gan.metrics.ms_ssim import WINDOW, Pixels, n_scales, similarity
from lit_gan.ranges import Count, checked


class MSSSIM(Analysis):
    """Mean MS-SSIM of random pairs of samples, against that of real images. Odena et al. 2017,
    section 4.2.

    It is 1 for identical images; samples that are more alike than real ones lack diversity. The
    pairs are of all samples, and if G takes labels, also of each class. Images smaller than 176 px
    leave room for fewer than the five scales of Wang et al. 2003: the first that fit are used,
    their weights scaled to sum 1, so values of different sizes cannot be compared.

    Columns: images ("generated", "real"), class ("all" or a number), pairs, scales, ms_ssim.

    Args:
        pairs: number of pairs of all samples.
        pairs_per_class: number of pairs within each class, 100 in the paper.
    """

    @checked
    def __init__(self, pairs: Count = 500, pairs_per_class: Count = 100):
        self.pairs, self.pairs_per_class = pairs, pairs_per_class

    def check(self, subject: Subject) -> None:
        """Refuses points and text, a single image, and images smaller than the window.

        Raises:
            UserError: names which of them it is.
        """
        check_images("ms_ssim", subject)
        check_enough("ms_ssim", subject)
        size = min(subject.source.shape[1:])
        if size < WINDOW:
            raise UserError(
                f"analysis=ms_ssim compares windows of {WINDOW} x {WINDOW} pixels, and the images have {size}: "
                f"choose a run on larger images."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws one point for all samples, and one for each class."""
        scales, groups = n_scales(min(subject.source.shape[1:])), range(n_classes_of(subject.G) or 0)
        rows = [
            {"images": kind, "class": group, "pairs": len(x) // 2, "scales": scales, "ms_ssim": similarity(x, scales)}
            for kind, images in (("generated", self.generated), ("real", self.real))
            for group, x in images(subject, groups)
        ]
        values = {kind: {row["class"]: row["ms_ssim"] for row in rows if row["images"] == kind} for kind in KINDS}
        shared = set.intersection(*map(set, values.values()))  # classes without real images are in no mean
        words = ", ".join(f"{kind} {overall_and_within(some, shared)}" for kind, some in values.items())
        return Finding(f"{words}, with {scales} of the 5 scales", rows, draw_groups(values, scales))

    def generated(self, subject: Subject, groups: range) -> Iterator[tuple[str | int, Pixels]]:
        """Samples of all classes together, then of each class."""
        yield "all", subject.pixels(2 * self.pairs)
        for group in groups:
            yield group, subject.pixels(2 * self.pairs_per_class, group)

    def real(self, subject: Subject, groups: range) -> Iterator[tuple[str | int, Pixels]]:
        """Training images of all classes together, then of each class that has two among 20,000
        random ones."""
        yield "all", subject.real("train", 2 * self.pairs)[1]
        if groups:
            _, images, labels = subject.real("train", 20_000)
            for group in groups:
                some = images[labels == group][: 2 * self.pairs_per_class]
                if len(some) > 1:
                    yield group, some


KINDS = ("generated", "real")
"""The kinds of images that are compared."""


def overall_and_within(values: dict[str | int, float], shared: set[str | int]) -> str:
    """The value over all images and the mean of those within the shared classes, "0.337 (within
    classes 0.637)"."""
    within = [value for group, value in values.items() if group in shared - {"all"}]
    return f"{values['all']:.3f}" + (f" (within classes {fmean(within):.3f})" if within else "")


def draw_groups(values: dict[str, dict[str | int, float]], scales: int) -> Figure:
    """A figure with one point for each group of images, generated ones beside real ones."""
    groups = list(values["generated"])
    plot = titled_figure(min(14, 4 + 0.4 * len(groups)), 4, f"MS-SSIM of random pairs, {scales} of the 5 scales")
    axes = plot.subplots()
    for (kind, some), colour, marker in zip(values.items(), (VERMILION, BLUE), MARKERS, strict=False):
        shown = [(str(group), some[group]) for group in groups if group in some]
        axes.plot(*zip(*shown, strict=True), marker, color=colour, label=kind, markersize=7)
    axes.set(xlabel="class", ylabel="mean MS-SSIM (1: identical)", xlim=(-0.6, len(groups) - 0.4))
    axes.set_ylim(0, 1.1 * max(max(some.values()) for some in values.values()))
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    return plot
