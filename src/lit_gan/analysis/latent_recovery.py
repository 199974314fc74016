"""Whether G can show its training images better than others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import show_histograms, show_images, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.data import to_uint8, to_unit
from lit_gan.errors import UserError
from lit_gan.game import Generator, Images, Labels, Latents
from lit_gan.metrics.reading import subset_indices
from lit_gan.ranges import AtLeastTwo, Count, checked
from lit_gan.sampling import Sampler
from lit_gan.system.watching import watched

REMEMBERED = 100
"""Steps that L-BFGS takes into account, torch's number."""
KINDS = {"train": "training images", "unseen": "images that G has not seen", "sample": "G's own samples"}
"""What a figure calls the kinds of images that are sought."""


class Sought(NamedTuple):
    """Images that G is to show, with the labels that it is given."""

    kind: str
    images: Images
    labels: Labels


class Recovered(NamedTuple):
    """What G has been brought to show for such images.

    Attributes:
        images: in [-1, 1].
        errors: mean squared differences from those that were sought.
    """

    images: Images
    errors: Float[Tensor, " n"]


def with_errors(images: Images, sought: Images) -> Recovered:
    """Images with their errors, on the CPU; one that is not finite has an infinite error."""
    return Recovered(images.cpu(), mean_squares(images - sought).nan_to_num(torch.inf).cpu())


def mean_squares(differences: Images) -> Float[Tensor, " n"]:
    """The mean of the squares of each image's differences."""
    return differences.square().flatten(1).mean(1)


def best_of(several: list[Recovered]) -> Recovered:
    """Of each image the one with the least error."""
    best = torch.stack([each.errors for each in several]).argmin(0)
    images, errors = (torch.stack(part)[best, torch.arange(len(best))] for part in zip(*several, strict=True))
    return Recovered(images, errors)


class LatentRecovery(Analysis):
    """How near G comes to given images, Webster et al. 2019: a G that comes nearer to those that it
    was trained on than to others has memorised some of them.

    Of each image x a latent vector z is sought that makes the mean of (G(z) - x)^2 small, pixels
    being in [-1, 1]: by 50 steps of L-BFGS at rate 1, without a line search, as in the authors'
    code, `latent_recovery.py`. Some searches end in no image at all, so that the best of several is
    taken, each from another random z; the authors begin one. The MRE-gap is the median of that
    error over unseen images, minus the one over training images, in parts of the former; the
    authors take its absolute value. p is that of a two-sided Kolmogorov-Smirnov test of the errors
    of both. A gap well above 0 with a small p is a sign of memory; the paper finds none in plain
    GANs. G's own samples could be found without an error, so that theirs says how good the search
    is.

    Training images are those that the players have been shown, and unseen ones those of the split
    "test" or, without one, the training images that `train_images` has left out. A z is not kept to
    where it is drawn from, and a G that looks at labels is given those of the images.

    Columns: kind ("train", "unseen" or "sample"), number (of the image in its split, or of the
    sample), error.

    Args:
        images: number of images of each kind, at most.
        steps: of L-BFGS.
        starts: number of searches for each image.
        shown: number of images of each kind in the picture.
    """

    @checked
    def __init__(self, images: AtLeastTwo = 100, steps: Count = 50, starts: Count = 3, shown: Count = 8):
        self.images, self.steps, self.starts, self.shown = images, steps, starts, shown

    def check(self, subject: Subject) -> None:
        """Refuses points and text, and a run that has seen all of its data.

        Raises:
            UserError: names the data set.
        """
        check_images("latent_recovery", subject)
        if "test" not in subject.source.splits and not len(left_out(subject)):
            raise UserError(
                f"analysis=latent_recovery compares training images with others, and data={subject.source.name} has no "
                f"split 'test': choose a run on data with one, or one with train_images=N."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws images with what G shows in their place, and the errors."""
        numbers, sought = self.sought(subject)
        sampler = subject.sampler()
        sampler.skip(self.images)  # whose latent vectors are those of the samples that are sought
        found = [self.recover(sampler, some, subject.batch_size) for some in sought]
        rows = [row for some in zip(numbers, sought, found, strict=True) for row in error_rows(*some)]
        return Finding(gap_in_words(*(each.errors for each in found)), rows, self.drawn(sought, found))

    def sought(self, subject: Subject) -> tuple[list[Tensor], list[Sought]]:
        """The numbers of the images that are sought, and these, kind by kind."""
        parts = {"train": subject.shown(self.images), "unseen": unseen(subject, self.images)}
        real = [Sought(kind, subject.source.samples(x), y) for kind, (_, x, y) in parts.items()]
        z, y = subject.sampler().latents(self.images)
        samples = to_unit(to_uint8(subject.generated(z, y)))
        numbers = [*(numbers for numbers, _, _ in parts.values()), torch.arange(self.images)]
        return numbers, [*real, Sought("sample", samples, y)]

    def recover(self, sampler: Sampler, sought: Sought, at_once: int) -> Recovered:
        """The nearest images that G is found to show, so many at a time.

        Args:
            sampler: of G; it gives the latent vectors from which the searches begin.
        """
        found = []
        batches = list(zip(sought.images.split(at_once), sought.labels.long().split(at_once), strict=True))
        for x, y in watched(batches, len(batches), f"seeking {KINDS[sought.kind]}"):
            x, y = x.to(sampler.device), y.to(sampler.device)
            ends = [searched(sampler.G, x, y, sampler.vectors(len(x)), self.steps) for _ in range(self.starts)]
            found.append(best_of([with_errors(sampler.generate(z, y), x) for z in ends]))
        return Recovered(*(torch.cat(part) for part in zip(*found, strict=True)))

    def drawn(self, sought: list[Sought], found: list[Recovered]) -> Figure:
        """The picture: images above those that G shows in their place, and the errors of all."""
        plot = titled_figure(11, 6, "What G shows in place of given images")
        grid = plot.add_gridspec(len(sought), 2)
        for number, (some, recovered) in enumerate(zip(sought, found, strict=True)):
            pairs = torch.cat([some.images[: self.shown].cpu(), recovered.images[: self.shown]])
            title = f"{KINDS[some.kind]}, and what is found"
            show_images(plot.add_subplot(grid[number, 0]), pairs, len(pairs) // 2, title)
        show_errors(plot.add_subplot(grid[:, 1]), [some.kind for some in sought], [each.errors for each in found])
        return plot


def left_out(subject: Subject) -> Tensor:
    """Numbers of the training images that the players have not been shown."""
    unshown = torch.ones(len(subject.source.split("train")), dtype=torch.bool)
    unshown[subject.shown_images] = False
    return unshown.nonzero().flatten()


def unseen(subject: Subject, n: int) -> tuple[Tensor, Tensor, Labels]:
    """Numbers, samples and labels of at most n random images that the players have not been shown,
    of the split "test" where there is one."""
    if "test" in subject.source.splits:
        return subject.real("test", n)
    numbers = left_out(subject)
    return subject.read("train", numbers[subset_indices(numbers, n)])


def searched(G: Generator, x: Images, y: Labels, z: Latents, steps: int) -> Latents:
    """The latent vectors that L-BFGS leads to from each z towards its image, [b, z_dim]."""

    def slopes(z: Latents) -> Latents:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(mean_squares(G(z, y) - x).sum(), z)[0]

    return lbfgs(slopes, z, steps)


def lbfgs(slopes: Callable[[Tensor], Tensor], z: Float[Tensor, "b d"], steps: int) -> Float[Tensor, "b d"]:
    """The rows of z after so many steps of L-BFGS at rate 1, without a line search: each row as
    `torch.optim.LBFGS` would lead it alone, for which it has no batches.

    Args:
        slopes: the gradient of each row's function at such rows.
    """
    memory: list[Step] = []
    before, scale = None, torch.ones(len(z), 1, device=z.device)
    for _ in range(steps):
        g = slopes(z)
        if before is not None:
            memory = [*memory[1 - REMEMBERED :], step := Step.of(before[0], g - before[1])]
            scale = torch.where(step.weight > 0, 1 / (step.weight * dot(step.change, step.change)), scale)
        before = next_move(g, memory, scale), g
        z = z + before[0]
    return z


class Step(NamedTuple):
    """A move of L-BFGS, row by row.

    Attributes:
        change: of the gradient.
        weight: one over the product of both; 0 where that is too small, so that the row's step does
            not count.
    """

    moved: Float[Tensor, "b d"]
    change: Float[Tensor, "b d"]
    weight: Float[Tensor, "b 1"]

    @classmethod
    def of(cls, moved: Tensor, change: Tensor) -> "Step":
        """A move, and the change of the gradient that it made."""
        curvature = dot(moved, change)
        return cls(moved, change, torch.where(curvature > 1e-10, 1 / curvature, 0))


def next_move(g: Tensor, memory: list[Step], scale: Tensor) -> Tensor:
    """The next move; none where the gradient, or what it promises, is below torch's tolerances."""
    direction = -newton_step(g, memory, scale)
    rate = 1 if memory else (1 / g.abs().sum(1, keepdim=True)).clamp(max=1)
    goes_on = (g.abs().amax(1, keepdim=True) > 1e-7) & (dot(g, direction) <= -1e-9)
    return torch.where(goes_on, rate * direction, 0)


def newton_step(g: Tensor, memory: list[Step], scale: Tensor) -> Tensor:
    """The two loops of L-BFGS: g times an inverse Hessian that earlier steps tell of, row by row.

    Args:
        scale: the first guess of the inverse Hessian.
    """
    q, shares = g, []
    for moved, change, weight in reversed(memory):
        shares.append(weight * dot(moved, q))
        q = q - shares[-1] * change
    r = scale * q
    for (moved, change, weight), share in zip(memory, reversed(shares), strict=True):
        r = r + moved * (share - weight * dot(change, r))
    return r


def dot(a: Float[Tensor, "b d"], b: Float[Tensor, "b d"]) -> Float[Tensor, "b 1"]:
    """The scalar products of rows."""
    return (a * b).sum(1, keepdim=True)


def error_rows(numbers: Tensor, sought: Sought, found: Recovered) -> list[dict[str, Any]]:
    """A row of the table for each image of a kind."""
    pairs = zip(numbers.tolist(), found.errors.tolist(), strict=True)
    return [{"kind": sought.kind, "number": number, "error": error} for number, error in pairs]


def gap_in_words(train: Tensor, unseen: Tensor, sample: Tensor) -> str:
    """The medians of the errors, the MRE-gap and p."""
    from scipy.stats import ks_2samp

    medians = [float(np.median(errors)) for errors in (train, unseen, sample)]  # torch's is the lower of two
    gap, p = (1 - medians[0] / medians[1] if medians[1] else 0.0), ks_2samp(train, unseen).pvalue
    return (
        f"median error {medians[0]:.3g} of training images, {medians[1]:.3g} of others, {medians[2]:.3g} of G's own "
        f"samples; MRE-gap {gap:.3g}, p {p:.2g} (a gap well above 0 with a small p: memory)"
    )


def show_errors(axes: Axes, kinds: list[str], errors: list[Tensor]) -> None:
    """Draws a histogram of the errors of each kind."""
    known = torch.cat(errors)
    limits = (0, known[known.isfinite()].max().item() if known.isfinite().any() else 1)
    show_histograms(axes, {KINDS[kind]: values.numpy() for kind, values in zip(kinds, errors, strict=True)}, limits)
    axes.set(xlabel="mean squared error of the nearest image that G shows", ylabel="images")
