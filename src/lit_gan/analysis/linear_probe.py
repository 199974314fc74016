"""What D has learnt, as a linear classifier reads it from D's features."""

import warnings
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lit_gan.analysis.base import Analysis, Finding, check_images, check_labels
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, GREY, MARKERS
from lit_gan.game import Images
from lit_gan.layers import weight_layers
from lit_gan.metrics.reading import subset_indices
from lit_gan.ranges import Allowed, AtLeastTwo, Count, Range, checked, require

SIDE = 4
"""Every feature map is pooled to so many rows and columns, as in the paper."""


class LinearProbe(Analysis):
    """Accuracy of a linear L2-SVM on D's features. Radford et al. 2016, section 5.

    The output of each of D's convolutions, after the normalisation and activation that follow it,
    is max-pooled to 4x4, flattened, and all are concatenated. Every feature is then centred and
    scaled to unit variance, so that C means the same for every D, which the paper does not do. D's
    batch normalisation has the statistics of the training, of real and generated images, where the
    paper takes those of the labelled set. Beside it stand the pixels, treated the same way.

    Trained on the split "train" and tested on "test"; without a "test", by cross-validation.
    Columns: features ("discriminator" or "pixels"), dimensions, c, fold, trained_on, tested_on,
    accuracy.

    The SVM (liblinear) takes some 25 bytes for each feature of each training image.

    Args:
        c: the SVM's C, one value or several.
        train: at most so many images are trained on.
        test: at most so many images are tested on.
        folds: number of parts of the cross-validation.
    """

    @checked
    def __init__(
        self,
        c: list[float] | float = (1e-4, 1e-3, 1e-2),
        train: Count = 10_000,
        test: Count = 10_000,
        folds: AtLeastTwo = 3,
    ):
        self.c = [c] if isinstance(c, int | float) else list(c)
        for value in self.c or [None]:
            require("analysis.linear_probe.c", value, Allowed.by(Annotated[float, Range(1e-12)]))
        self.train, self.test, self.folds = train, test, folds

    def check(self, subject: Subject) -> None:
        """Refuses points and text, data without labels, and a D without convolutions.

        Raises:
            UserError: names which of them it is.
        """
        check_images("linear_probe", subject)
        check_labels("linear_probe", subject)
        if not convolutions(subject.D.body):
            raise UserError("analysis=linear_probe finds no convolution in D: choose a run of a convolutional model.")

    def find(self, subject: Subject) -> Finding:
        """Draws the accuracy against C, of D's features and of the pixels."""
        rows = [row for fold, split in enumerate(self.splits(subject), start=1) for row in self.scores(fold, *split)]
        lines = {kind: mean_accuracies(rows, kind) for kind in KINDS}
        plot = titled_figure(6, 4.2, f"Linear SVM on {subject.source.name}")
        axes = plot.subplots()
        for (kind, line), colour, marker in zip(lines.items(), (BLUE, GREY), MARKERS, strict=False):
            axes.plot(list(line), [100 * value for value in line.values()], color=colour, marker=marker, label=kind)
        axes.set(xscale="log", xlabel="C", ylabel="accuracy on unseen images, %")
        axes.grid(alpha=0.3)
        axes.legend()
        best = {kind: max(line, key=line.get) for kind, line in lines.items()}
        words = ", ".join(f"{kind} {lines[kind][c]:.1%} (C={c:g})" for kind, c in best.items())
        return Finding(f"{words}; {rows[0]['dimensions']} features", rows, plot)

    def scores(self, fold: int, seen: "Views", unseen: "Views") -> Iterator[dict[str, Any]]:
        """One row for each kind of features and each C."""
        for kind in KINDS:
            x, x_test = getattr(seen, kind), getattr(unseen, kind)
            for c in self.c:
                yield {
                    "features": kind,
                    "dimensions": x.shape[1],
                    "c": c,
                    "fold": fold,
                    "trained_on": len(x),
                    "tested_on": len(x_test),
                    "accuracy": accuracy(x, seen.labels, x_test, unseen.labels, c),
                }

    def splits(self, subject: Subject) -> Iterator[tuple["Views", "Views"]]:
        """The images to learn from and those to test on: one such pair, or one for each fold.

        Raises:
            UserError: all images to learn from are of one class, or no class has an image for each
                fold.
        """
        seen = read_views(subject, "train", self.train)
        if len(np.unique(seen.labels)) < 2:
            raise UserError(
                f"analysis.linear_probe.train={self.train} finds images of one class alone, {len(seen.labels)} of "
                f"them, and there is nothing to tell apart: raise it, or choose a run on several classes."
            )
        if "test" in subject.source.splits:
            yield seen, read_views(subject, "test", self.test)
        elif sorted(np.bincount(seen.labels))[-2] < self.folds:
            raise UserError(
                f"analysis.linear_probe.folds={self.folds} is more than the images of any two classes: lower it, or "
                f"look at more images."
            )
        else:
            from sklearn.model_selection import StratifiedKFold

            folds = StratifiedKFold(self.folds, shuffle=True, random_state=0)
            for learn, held in folds.split(seen.labels, seen.labels):
                yield tuple(Views(*(part[numbers] for part in seen)) for numbers in (learn, held))


class Views(NamedTuple):
    """Images as the SVM sees them: D's features, pixels and labels."""

    discriminator: Float[np.ndarray, "n d"]
    pixels: Float[np.ndarray, "n p"]
    labels: Int[np.ndarray, " n"]


KINDS = ("discriminator", "pixels")


def mean_accuracies(rows: list[dict[str, Any]], kind: str) -> dict[float, float]:
    """The accuracy for each C, averaged over the folds."""
    some = [row for row in rows if row["features"] == kind]
    values = dict.fromkeys(row["c"] for row in some)
    return {c: float(np.mean([row["accuracy"] for row in some if row["c"] == c])) for c in values}


def read_views(subject: Subject, split: str, n: int) -> Views:
    """D's features, the pixels and the labels of at most n images."""
    batches = [
        (pooled_features(subject, x), x.flatten(1), labels)
        for images, labels in subject.batches(split, subset_indices(subject.source.split(split), n))
        for x in [subject.as_network_input(images)]
    ]
    return Views(*(torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True)))


@torch.no_grad()
def pooled_features(subject: Subject, x: Images) -> Float[Tensor, "b d"]:
    """The outputs of all convolutions, pooled to 4x4, flattened and concatenated: 16 numbers for
    each channel.

    A D that looks at labels is shown 0 for every image: the true ones are what is to be read out.
    """
    owners, maps = convolutions(subject.D.body), {}

    def hook(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        convolution, mine = owners[layer], output[-len(x) :]  # behind a reference batch, if one goes along
        if layer is convolution or (convolution in maps and mine.shape == maps[convolution].shape):
            maps[convolution] = mine.clone()  # an activation may work in place

    hooks = [layer.register_forward_hook(hook) for layer in owners]
    subject.judge(x, torch.zeros(len(x), dtype=torch.long, device=x.device))
    for handle in hooks:
        handle.remove()
    return torch.cat([F.adaptive_max_pool2d(output, SIDE).flatten(1) for output in maps.values()], 1)


def convolutions(network: nn.Module) -> dict[nn.Module, nn.Conv2d]:
    """The convolution to which each layer belongs: itself, or the one before it with no other
    weights in between.

    Of the layers behind a convolution, those count that keep the shape of its output:
    normalisation, activation, dropout.
    """
    owners = {layer: layer for layer in network.modules() if isinstance(layer, nn.Conv2d)}
    for block in network.modules():
        owner = None
        for layer in block.children() if isinstance(block, nn.Sequential) else []:
            if any(weight_layers(layer)):
                owner = owners.get(layer)
            elif owner is not None:
                owners[layer] = owner
    return owners


def accuracy(
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    x_test: Float[np.ndarray, "m d"],
    y_test: Int[np.ndarray, " m"],
    c: float,
) -> float:
    """The share of test images that the SVM puts into the right class."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    svm = make_pipeline(StandardScaler(), LinearSVC(C=c, dual="auto", tol=1e-2, random_state=0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")  # a C too large for its iterations is one of several
        return float(svm.fit(x, y).score(x_test, y_test))
