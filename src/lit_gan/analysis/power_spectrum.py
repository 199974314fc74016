"""How much of the images is in which frequencies, samples beside real images."""

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_enough, check_images
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.figures.style import BLUE, VERMILION
from lit_gan.ranges import Range, checked

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""How red, green and blue make grey. Recommendation ITU-R BT.601."""
FOLDS = 5
"""Parts of the cross-validation."""
FLOOR = 1.0
"""What is added to the power, in squared grey levels of 0 to 255, so that that of an image of one
grey level has a logarithm. Rounding to whole levels leaves h w / 12 of it in each frequency, which
is more from images of 4 x 4 pixels on."""


class PowerSpectrum(Analysis):
    """Power at each spatial frequency, of samples and of real images. Durall et al. 2020.

    Up-convolutions leave too much or too little power at high frequencies, by which a linear
    classifier tells samples from real images. The power of the 2-D Fourier transform of the grey
    image is taken in decibels, averaged over all directions at each whole number of cycles along
    the shorter side, up to half its pixels, and counted from its value at frequency 0. A logistic
    regression on these numbers, standardised, says with cross-validation in five parts how many
    images can be told apart: 50 % where they have the same spectrum.

    Deviation from the authors' code (`radialProfile.py`): its rings are around a point half a pixel
    beside frequency 0 where the number of pixels is even.

    Columns: frequency (cycles along the shorter side), and of either kind, generated and real, the
    mean over the images in decibels and its standard deviation.

    Args:
        images: number of images of either kind at most.
    """

    @checked
    def __init__(self, images: Annotated[int, Range(FOLDS)] = 1000):
        self.images = images

    def check(self, subject: Subject) -> None:
        """Refuses points and text, and fewer images than parts of the cross-validation."""
        check_images("power_spectrum", subject)
        check_enough("power_spectrum", subject, FOLDS)

    def find(self, subject: Subject) -> Finding:
        """Draws the mean of either kind, with a band of one standard deviation."""
        real = ring_decibels(subject.real("train", self.images)[1])
        generated = ring_decibels(subject.pixels(len(real)))
        share = told_apart(generated, real, subject.seed)
        sides = {"generated": generated, "real": real}
        columns = {name: side.mean(0).tolist() for name, side in sides.items()}
        columns |= {f"{name}_std": side.std(0).tolist() for name, side in sides.items()}
        names = ("frequency", "generated", "generated_std", "real", "real_std")
        table = zip(range(real.shape[1]), *(columns[name] for name in names[1:]), strict=True)
        rows = [dict(zip(names, values, strict=True)) for values in table]
        excess = rows[-1]["generated"] - rows[-1]["real"]
        found = (
            f"samples have {excess:+.1f} dB at the highest frequency, beside real images; {share:.1%} of the images "
            f"can be told apart (50%: none)"
        )
        return Finding(found, rows, draw_spectra(rows, found))


def ring_decibels(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n r"]:
    """The mean decibels of each ring of frequencies, from 0 on, above those of frequency 0."""
    rings = ring_numbers(*images.shape[2:])
    used = rings <= min(images.shape[2:]) // 2
    sizes = torch.bincount(rings[used])
    parts = []
    for part in images.split(500):
        decibels = 10 * (power(part) + FLOOR).log10()
        sums = decibels.new_zeros(len(part), len(sizes)).index_add_(1, rings[used], decibels[:, used])
        parts.append(sums / sizes)
    rows = torch.cat(parts)
    return rows - rows[:, :1]


def power(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
    """The squared modulus of the Fourier transform of the grey images, frequency 0 first."""
    x = images.double()
    grey = torch.einsum("nchw,c->nhw", x, x.new_tensor(GREY_WEIGHTS)) if x.shape[1] == 3 else x.mean(1)
    return torch.fft.fft2(grey).abs().square()


def ring_numbers(height: int, width: int) -> Int[Tensor, "h w"]:
    """Each frequency's distance from 0 in cycles along the shorter side, rounded."""
    down, across = (torch.fft.fftfreq(n, dtype=torch.float64) * min(height, width) for n in (height, width))
    return torch.hypot(*torch.meshgrid(down, across, indexing="ij")).round().long()


def told_apart(generated: Float[Tensor, "n r"], real: Float[Tensor, "n r"], seed: int) -> float:
    """The share of spectra that a linear classifier assigns to the right one of two sets, each seen
    for the first time."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = torch.cat([generated, real]).numpy()
    y = np.repeat([0, 1], [len(generated), len(real)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(cross_val_score(classifier, x, y, cv=folds).mean())


def draw_spectra(rows: list[dict[str, float]], found: str) -> Figure:
    """A figure with a line and a band for each kind."""
    plot = titled_figure(7, 4.5, found.replace("; ", "\n"))
    axes = plot.subplots()
    frequencies = [row["frequency"] for row in rows]
    for kind, colour, style in (("generated", VERMILION, "-"), ("real", BLUE, "--")):
        mean, std = (np.array([row[name] for row in rows]) for name in (kind, f"{kind}_std"))
        axes.plot(frequencies, mean, style, color=colour, label=f"{kind}, ± standard deviation")
        axes.fill_between(frequencies, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="cycles along the shorter side", ylabel="power, dB above that of frequency 0")
    axes.grid(alpha=0.3)
    axes.legend()
    return plot
