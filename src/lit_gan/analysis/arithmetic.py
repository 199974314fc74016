"""Sums and differences of latent vectors."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import show_images, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.data import to_uint8
from lit_gan.errors import UserError
from lit_gan.game import Images
from lit_gan.layers import n_classes_of
from lit_gan.metrics.classifier import Classifier
from lit_gan.ranges import Allowed, Count, NonNegative, Range, checked, require
from lit_gan.sampling import latents_and_labels

MADE = ["mean a", "mean b", "mean c", *["neighbour"] * 4, "result", *["neighbour"] * 4]
"""What the samples of the new latent vectors are: three means, then the result in the middle of
eight neighbours."""


class Arithmetic(Analysis):
    """a - b + c on the mean latent vectors of three concepts, and 8 neighbours of it. Radford et
    al. 2016, Figure 7.

    A concept is a class, whose exemplars are the samples that the data set's classifier
    (metrics=classifier) is surest of, or a list of sample numbers, those of `lit_gan.sample` with
    n=`among` and the same seed. The neighbours are the result + U(-noise, noise).

    Columns: what (a, b, c, their means, result, neighbour), number of the sample, and on labelled
    data the class that the classifier sees in it, and its probability.

    Args:
        a, b, c: a class or a list of sample numbers each.
        exemplars: number of samples of a class, 3 in the paper: single ones gave unstable results.
        among: number of samples to choose from.
        noise: how far the neighbours are in each coordinate at most, 0.25 in the paper.
    """

    @checked
    def __init__(
        self,
        a: int | Sequence[int],
        b: int | Sequence[int],
        c: int | Sequence[int],
        exemplars: Count = 3,
        among: Count = 2000,
        noise: NonNegative = 0.25,
    ):
        allowed = Allowed.by(Annotated[int, Range(0, below=among)])
        self.concepts = {"a": a, "b": b, "c": c}
        for name, concept in self.concepts.items():
            for number in [concept] if isinstance(concept, int) else concept or [None]:
                require(f"analysis.arithmetic.{name}", number, allowed)
        self.exemplars, self.among, self.noise = exemplars, among, noise

    def check(self, subject: Subject) -> None:
        """Refuses points and text, a G that is told its class, and a class that the data does not
        have.

        Raises:
            UserError: names which of them it is.
        """
        check_images("arithmetic", subject)
        if n_classes_of(subject.G):
            raise UserError(
                "analysis=arithmetic looks for classes in the latent vectors, and this G takes them from labels: "
                "choose a run with labels=none."
            )
        known = subject.source.n_classes or 0
        for name, concept in self.concepts.items():
            if isinstance(concept, int) and concept >= known:
                has = f"the classes 0 to {known - 1}" if known else "no labels"
                raise UserError(
                    f"analysis.arithmetic.{name}={concept} names a class, and data={subject.source.name} has {has}: "
                    f"give a class that there is, or a list of sample numbers such as [3,17,25]."
                )

    def find(self, subject: Subject) -> Finding:
        """Draws the exemplars and their means on the left, the result among its neighbours on the
        right."""
        z, y = latents_and_labels(subject.sampler(), self.among, None)
        x = subject.generated(z, y)
        seen = classified(subject, x)
        numbers = {name: self.exemplars_of(name, seen) for name in self.concepts}
        a, b, c = (z[chosen].mean(0) for chosen in numbers.values())
        new = torch.cat([torch.stack([a, b, c]), nine_around(a - b + c, self.noise, subject.seed)])
        made = subject.generated(new, torch.zeros(len(new), dtype=torch.long))
        rows = [
            {"what": name, "number": number} | class_and_probability(seen, number)
            for name, chosen in numbers.items()
            for number in chosen
        ]
        judged = classified(subject, made)
        rows += [{"what": what, "number": ""} | class_and_probability(judged, place) for place, what in enumerate(MADE)]
        plot = show_arithmetic(
            [torch.cat([x[chosen], made[[place]]]) for place, chosen in enumerate(numbers.values())], made[3:]
        )
        found = f"the classifier sees class {rows[-5]['class']}" if judged is not None else "see the picture"
        return Finding(f"a - b + c: {found}", rows, plot)

    def exemplars_of(self, name: str, seen: Float[Tensor, "n k"] | None) -> list[int]:
        """The numbers of the samples that stand for a concept.

        Args:
            seen: the classifier's probabilities for all samples; None for data without labels.

        Raises:
            UserError: G makes too few of that class.
        """
        concept = self.concepts[name]
        if not isinstance(concept, int):
            return list(concept)
        there = int((seen.argmax(1) == concept).sum())
        if there < self.exemplars:
            raise UserError(
                f"analysis.arithmetic.{name}={concept} needs {self.exemplars} samples of that class, and G makes "
                f"{there} among {self.among}: raise analysis.arithmetic.among, or choose another class."
            )
        return seen[:, concept].topk(self.exemplars).indices.tolist()


def classified(subject: Subject, x: Images) -> Float[Tensor, "n k"] | None:
    """The probabilities that the data set's classifier gives to the classes; None for data without
    labels."""
    if subject.source.n_classes is None:
        return None
    classifier = Classifier()
    classifier.prepare(subject.source, subject.device)
    parts = to_uint8(x).split(subject.batch_size)
    return torch.cat([classifier(part).logits.softmax(1).cpu() for part in parts])


def class_and_probability(seen: Float[Tensor, "n k"] | None, place: int) -> dict[str, Any]:
    """The columns about what a classifier sees in a sample; an empty mapping without a
    classifier."""
    if seen is None:
        return {}
    return {"class": int(seen[place].argmax()), "probability": seen[place].max().item()}


def nine_around(z: Float[Tensor, " z"], noise: float, seed: int) -> Float[Tensor, "9 z"]:
    """Nine latent vectors: z in the middle, and eight times z + U(-noise, noise) around it."""
    offsets = noise * (2 * torch.rand(9, len(z), generator=torch.Generator().manual_seed(seed)) - 1)
    offsets[4] = 0
    return z + offsets.to(z)


def show_arithmetic(concepts: list[Images], result: Images) -> Figure:
    """A figure with three columns of exemplars, their mean at the bottom, and the result among its
    neighbours."""
    plot = titled_figure(8, 4.5, "Latent arithmetic: the mean of each column (its last picture), a - b + c")
    grid = plot.subplots(1, 4, width_ratios=[1, 1, 1, 3.2])
    for axes, title, images in zip(grid, ("a", "- b", "+ c"), concepts, strict=False):
        show_images(axes, images, 1, title)
    show_images(grid[3], result, 3, "= the middle, among its neighbours")
    return plot
