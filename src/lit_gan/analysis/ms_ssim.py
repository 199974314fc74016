"""How alike the samples are."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images, check_numbers
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, MARKERS, VERMILION
from lit_gan.metrics.ms_ssim import WINDOW, Pixels, n_scales, similarity
from lit_gan.sampling import n_classes_of
from lit_gan.settings import COUNT


class MSSSIM(Analysis):
    """Mean MS-SSIM of random pairs of samples, against that of real images. Odena et al. 2017, section 4.2.

    1 for identical images; samples that are more alike than real ones lack diversity. Over all samples, and if G takes
    labels, within each class. Images smaller than 176 px leave room for fewer than the five scales of Wang et al.
    2003: the first that fit are used, their weights scaled to sum 1, so values of different sizes cannot be compared.

    Columns: images ("generated", "real"), class ("all" or a number), pairs, scales, ms_ssim.

    Args:
        pairs: over all samples.
        pairs_per_class: within a class, 100 in the paper.
    """

    def __init__(self, pairs: int = 500, pairs_per_class: int = 100):
        check_numbers("ms_ssim", COUNT, pairs=pairs, pairs_per_class=pairs_per_class)
        self.pairs, self.pairs_per_class = pairs, pairs_per_class

    def check(self, subject: Subject) -> None:
        """Refuses points, a single image, and images smaller than the window.

        Raises:
            UserError: one of the three.
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
        """One point for all samples, and one for each class."""
        scales, groups = n_scales(min(subject.source.shape[1:])), range(n_classes_of(subject.G) or 0)
        rows = [
            {"images": kind, "class": group, "pairs": len(x) // 2, "scales": scales, "ms_ssim": similarity(x, scales)}
            for kind, images in (("generated", self.generated), ("real", self.real))
            for group, x in images(subject, groups)
        ]
        values = {kind: {row["class"]: row["ms_ssim"] for row in rows if row["images"] == kind} for kind in KINDS}
        words = ", ".join(f"{kind} {in_words(some)}" for kind, some in values.items())
        return Finding(f"{words}, with {scales} of the 5 scales", rows, chart(values, scales))

    def generated(self, subject: Subject, groups: range) -> Iterator[tuple[str | int, Pixels]]:
        """Samples of all classes, then of each."""
        yield "all", subject.pixels(2 * self.pairs)
        for group in groups:
            yield group, subject.pixels(2 * self.pairs_per_class, group)

    def real(self, subject: Subject, groups: range) -> Iterator[tuple[str | int, Pixels]]:
        """Training images of all classes, then of each that has two among the first 20,000."""
        yield "all", subject.real("train", 2 * self.pairs)[1]
        if groups:
            _, images, labels = subject.real("train", 20_000)
            for group in groups:
                some = images[labels == group][: 2 * self.pairs_per_class]
                if len(some) > 1:
                    yield group, some


KINDS = ("generated", "real")


def in_words(values: dict[str | int, float]) -> str:
    """The value over all images and the mean of those within the classes."""
    within = [value for group, value in values.items() if group != "all"]
    return f"{values['all']:.3f}" + (f" (within classes {sum(within) / len(within):.3f})" if within else "")


def chart(values: dict[str, dict[str | int, float]], scales: int) -> Figure:
    """One point for each group of images, generated beside real."""
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
