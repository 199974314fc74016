"""How evenly samples change along paths through the latent space."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError, one_line
from lit_gan.figures.style import BLUE, VERMILION
from lit_gan.game import Generator, Images, Latents, Normal, Uniform
from lit_gan.metrics.extractors import downloaded
from lit_gan.ranges import AtLeastTwo, Positive, Switch, checked
from lit_gan.sampling import Sampler
from lit_gan.system.random_numbers import keeping_random_state
from lit_gan.system.watching import watched

Apart = Callable[[Images, Images], Float[Tensor, " b"]]
"""The squared distance of the images of each pair."""
KEPT = (0.01, 0.99)
"""Percentiles beyond which a length does not count. `perceptual_path_length.py` of StyleGAN2-ADA."""


class PerceptualPathLength(Analysis):
    """The mean squared distance of two samples a small step apart on a path through the latent
    space, over the step's square. Karras et al. 2019, Eq. 2.

    It is small where samples change evenly, and large where G leaps: it says nothing of their
    quality, and is 0 where all samples are the same. Normal latent variables move on the great
    circle between two random latent vectors, uniform ones on the straight line, from a random place
    on it; the label, codes of other kinds, and noise that G draws itself are those of its beginning.
    As in the code of StyleGAN2-ADA, lengths beyond the 1st and 99th percentile do not count.

    The distance is measured in pixel space (pixels in [-1, 1]) and in the feature space of the run's
    metrics if these have one, as the mean of the squared differences of the coordinates. `lpips`
    adds that of the paper, LPIPS of VGG16 (Zhang et al. 2018), which needs weights of 528 MB that are
    downloaded; lengths in different spaces cannot be compared. That network is torchmetrics', whose
    weights may differ from those of NVIDIA's file.

    Deviations from StyleGAN2-ADA: it scales latent vectors to one length, because its G does, where
    here the great circle leads from the length of one to that of the other; it shrinks images of
    more than 256 pixels first; and its metric `ppl2_wend` is of W space, at the beginning of a path.

    Columns: space, path, length, kept (1, or 0 beyond the percentiles).

    Args:
        paths: number of paths, 50,000 in that code.
        step: between two samples, as a share of a path, 1e-4 there.
        lpips: whether LPIPS is measured, too.
    """

    @checked
    def __init__(self, paths: AtLeastTwo = 10_000, step: Positive = 1e-4, lpips: Switch = False):
        self.paths, self.step, self.lpips = paths, step, lpips

    def check(self, subject: Subject) -> None:
        """Refuses points and text, a network that looks at whole grey levels alone, and LPIPS without
        weights.

        Raises:
            UserError: names which of them it is.
        """
        check_images("perceptual_path_length", subject)
        if subject.extractor is not None and not subject.extractor.sees_fractions:
            raise UserError(
                f"analysis=perceptual_path_length compares images that differ by less than a grey level, and metrics="
                f"{subject.extractor.name} sees whole ones alone: add metrics=classifier, efficientnet_lite0 or "
                f"inception_clean, or metrics=none for pixels."
            )
        if self.lpips:
            vgg_weights()

    def find(self, subject: Subject) -> Finding:
        """Draws a histogram of the lengths in each space."""
        spaces = squared_distances(subject) | ({"LPIPS of VGG16": lpips(subject.device)} if self.lpips else {})
        found: dict[str, list[Tensor]] = {name: [] for name in spaces}
        count = -(-self.paths // subject.batch_size)
        for x, moved in watched(self.pairs(subject), count, "walking along paths"):
            for name, apart in spaces.items():
                found[name].append(apart(x, moved).cpu().double() / self.step**2)
        plot = titled_figure(5 * len(spaces), 3.8, f"Path lengths, {self.paths} paths, step {self.step:g}")
        rows, words = [], []
        for axes, (name, parts) in zip(plot.subplots(1, len(spaces), squeeze=False)[0], found.items(), strict=True):
            lengths = torch.cat(parts)
            kept = within_percentiles(lengths)
            words.append(f"{name} {lengths[kept].mean():.4g}")
            draw_lengths(axes, name, lengths[kept])
            rows += length_rows(name, lengths, kept)
        return Finding(f"perceptual path length: {', '.join(words)}", rows, plot)

    def pairs(self, subject: Subject) -> Iterator[tuple[Images, Images]]:
        """Batches of samples, and of those a step further on the same paths."""
        sampler = subject.sampler()
        for number, part in enumerate(torch.arange(self.paths).split(subject.batch_size)):
            (start, y), (end, _) = (sampler.latents(len(part)) for _ in range(2))
            place = torch.rand(len(part), 1, generator=sampler.generator, dtype=torch.float64)
            z = (along_path(sampler.G, start, end, where) for where in (place, place + self.step))
            yield tuple(same_noise(sampler, latents, y, subject.seed + number) for latents in z)


def along_path(G: Generator, start: Latents, end: Latents, place: Float[Tensor, "b 1"]) -> Latents:
    """Latent vectors at a place, from 0 to 1, on the paths of G's latent space from one vector to
    another."""
    sizes = [part.size for part in G.latents]
    ways = {Normal: great_circle, Uniform: torch.lerp}
    ends = (z.cpu().double().split(sizes, 1) for z in (start, end))  # a step is lost in single precision
    parts = zip(G.latents, *ends, strict=True)
    moved = [ways[type(part)](a, b, place) if type(part) in ways else a for part, a, b in parts]
    return torch.cat(moved, 1).to(start)


def great_circle(a: Float[Tensor, "b z"], b: Float[Tensor, "b z"], place: Float[Tensor, "b 1"]) -> Float[Tensor, "b z"]:
    """Vectors between a and b on a great circle; on the straight line where a and b lie on one."""
    cosine = torch.cosine_similarity(a, b, dim=1)[:, None]
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    arc = (((1 - place) * angle).sin() * a + (place * angle).sin() * b) / sine
    return torch.where(sine > 1e-6, arc, torch.lerp(a, b, place))


def same_noise(sampler: Sampler, z: Latents, y: Tensor, seed: int) -> Images:
    """Samples of given latent vectors and labels, with the noise of a seed where G draws some."""
    with keeping_random_state(sampler.device):
        torch.manual_seed(seed)
        return sampler.generate(z, y.to(sampler.device))


def squared_distances(subject: Subject) -> dict[str, Apart]:
    """The mean squared differences of pixels, and of what the run's extractor sees in images that are
    not rounded."""
    ways: dict[str, Apart] = {"pixels": lambda x, other: mean_square(x - other)}
    if (extractor := subject.extractor) is not None:
        ways[f"{extractor.prefix(subject.source)} features"] = lambda x, other: mean_square(
            extractor((x + 1) * 127.5).pool - extractor((other + 1) * 127.5).pool
        )
    return ways


def mean_square(difference: Tensor) -> Float[Tensor, " b"]:
    """The mean of the squares of each sample."""
    return difference.flatten(1).square().mean(1)


def vgg_weights() -> None:
    """Looks for the weights of VGG16 where torchvision does, and downloads them if need be.

    Raises:
        UserError: they are not there and cannot be downloaded.
    """
    from torchvision.models import VGG16_Weights

    setting = "analysis.perceptual_path_length.lpips"
    downloaded(VGG16_Weights.DEFAULT.url, f"{setting}=true", f"or set {setting}=false, which works offline")


def lpips(device: torch.device) -> Apart:
    """LPIPS of images in [-1, 1].

    Raises:
        UserError: the weights of VGG16 are damaged.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    vgg_weights()
    try:
        network = LearnedPerceptualImagePatchSimilarity(net_type="vgg").net.to(device)
    except Exception as error:  # a damaged file makes torch.load raise nearly anything
        raise UserError(
            f"analysis.perceptual_path_length.lpips=true cannot read the weights of VGG16 in torch.hub's folder "
            f"({one_line(str(error))}): delete the file, or set analysis.perceptual_path_length.lpips=false."
        ) from error
    return lambda *images: network(*(x.expand(-1, 3, -1, -1) for x in images)).flatten()


def within_percentiles(lengths: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Which lengths are neither below the 1st nor above the 99th percentile."""
    lowest, highest = (
        torch.quantile(lengths, share, interpolation=side)
        for share, side in zip(KEPT, ("lower", "higher"), strict=True)
    )
    return (lengths >= lowest) & (lengths <= highest)


def length_rows(space: str, lengths: Float[Tensor, " n"], kept: Bool[Tensor, " n"]) -> list[dict[str, Any]]:
    """The rows of the table: one for each path."""
    columns = zip(lengths.tolist(), kept.int().tolist(), strict=True)
    return [
        {"space": space, "path": path, "length": length, "kept": counts}
        for path, (length, counts) in enumerate(columns)
    ]


def draw_lengths(axes: Axes, space: str, lengths: Float[Tensor, " n"]) -> None:
    """Draws a histogram with a line at the mean."""
    mean = lengths.mean().item()
    axes.hist(lengths.numpy(), 40, color=BLUE)
    axes.axvline(mean, color=VERMILION, linestyle="--", label=f"mean {mean:.4g}")
    axes.set(title=space, xlabel="squared distance / step²", ylabel="paths")
    axes.legend()
