"""What a classifier learns from generated images alone."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_images, check_labels
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.data import to_uint8
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, MOST_SHOWN, VERMILION
from lit_gan.layers import n_classes_of
from lit_gan.metrics.classifier import ConvNet, logits_of, trained_network
from lit_gan.metrics.extractors import shrunk
from lit_gan.ranges import Count, Range, checked

HELD = 5
"""One training image in so many is held back to test on, where the data have no split "test"."""
Small = UInt8[Tensor, "n c s s"]
COLOURS_OF = {"generated": VERMILION, "real": BLUE}


class CAS(Analysis):
    """The classification accuracy score: how many real images a classifier recognises that has seen
    generated ones alone. Ravuri and Vinyals 2019.

    A classifier is trained on as many generated images as there are real ones to learn from, with
    the same labels, and tested on the split "test". Its twin is trained as long on those real
    images. A class that G has lost or confuses shows in its own accuracy; one class of K that is
    missing bounds the score by 1 - 1 / K.

    Data without a split "test" hold a fifth of "train" back from the twin. G has been trained on
    these, or on some of them (`train_images`), so that its score says too much if it has memorised
    them, and the summary says so.

    Deviations from the paper: the classifier is the small CNN of `metrics=classifier`, of images
    that are resized to 32 x 32 pixels bilinearly, where theirs is a ResNet-50 for ImageNet, so that
    no number of theirs can be compared. It sees each of a fixed set of samples many times.

    Columns: trained_on ("generated" or "real"), class ("all" or its number), accuracy and
    top_5 (the share of test images whose class is the first guess, or among the first five),
    learnt_from (images), split, tested_on (images of the class), network, updates.

    Args:
        images: at most so many images are learnt from, or, without a split "test", learnt from and
            held back.
        test: at most so many images are tested on.
        updates: of each of the two classifiers.
    """

    @checked
    def __init__(self, images: Annotated[int, Range(HELD)] = 50_000, test: Count = 10_000, updates: Count = 3000):
        self.images, self.test, self.updates = images, test, updates

    def check(self, subject: Subject) -> None:
        """Refuses points and text, data without labels, a G that looks at none, and too few images.

        Raises:
            UserError: names which of them it is.
        """
        check_images("cas", subject)
        check_labels("cas", subject)
        if n_classes_of(subject.G) is None:
            raise UserError(
                "analysis=cas asks G for images of each class, and this G looks at no labels: choose a run with "
                "labels=projection or the like."
            )
        if (found := len(subject.source.split("train"))) < HELD:
            raise UserError(
                f"analysis=cas trains classifiers, which {found} images of data={subject.source.name} are too few for: "
                f"choose a run on more images."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws the accuracy of each class."""
        real, test, split = self.real_images(subject)
        learnt = {"generated": Examples(generated_images(subject, real.labels), real.labels), "real": real}
        network, counts = f"ConvNet at {ConvNet.SIZE} px", {"learnt_from": len(real.labels), "split": split}
        rows = [
            {"trained_on": kind} | row | counts | {"network": network, "updates": self.updates}
            for kind, examples in learnt.items()
            for row in accuracy_rows(self.logits(subject, examples, test.images), test.labels)
        ]
        generated, twin = (row["accuracy"] for row in rows if row["class"] == "all")
        found = f"CAS {generated:.1%}, of real images {twin:.1%}"
        how = (
            f"{self.updates} updates of a {network} on {len(real.labels)} images of either kind, tested on "
            f"{len(test.labels)} of split '{split}'{', as G was' if split == 'train' else ''}"
        )
        return Finding(f"{found} ({how})", rows, accuracy_figure(rows, subject.source.class_names, f"{found}\n{how}"))

    def logits(self, subject: Subject, learnt: "Examples", images: Small) -> Float[Tensor, "n k"]:
        """What a classifier that has learnt from examples says of images, on the CPU."""
        seen = (part.to(subject.device) for part in learnt)
        network = trained_network(*seen, subject.source.n_classes, self.updates, subject.seed)
        return logits_of(network, images.to(subject.device)).cpu()

    def real_images(self, subject: Subject) -> tuple["Examples", "Examples", str]:
        """The real images to learn from and those to test on, and the split of the latter."""
        if "test" in subject.source.splits:
            return read_examples(subject, "train", self.images), read_examples(subject, "test", self.test), "test"
        images, labels = read_examples(subject, "train", self.images)
        held = min(len(labels) // HELD, self.test)
        return Examples(images[held:], labels[held:]), Examples(images[:held], labels[:held]), "train"


class Examples(NamedTuple):
    """Images of the classifier's size with their labels."""

    images: Small
    labels: Int[Tensor, " n"]


def read_examples(subject: Subject, split: str, n: int) -> Examples:
    """At most n images of a split, in a random order that is always the same."""
    _, images, labels = subject.real(split, n)
    return Examples(torch.cat([shrunk(part, ConvNet.SIZE) for part in images.split(500)]), labels)


def generated_images(subject: Subject, labels: Int[Tensor, " n"]) -> Small:
    """A sample of each label, rounded to whole grey levels as files are, of the classifier's size."""
    sampler = subject.sampler()
    parts = (sampler.generate(sampler.vectors(len(y)), y.to(subject.device)) for y in labels.split(subject.batch_size))
    return torch.cat([shrunk(to_uint8(x), ConvNet.SIZE).cpu() for x in parts])


def accuracy_rows(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> list[dict[str, Any]]:
    """The rows of all images and of each class that is among them."""
    guesses = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
    groups = {"all": torch.ones_like(labels, dtype=torch.bool)}
    groups |= {number: labels == number for number in labels.unique().tolist()}
    return [
        {
            "class": name,
            "accuracy": guesses[members, 0].float().mean().item(),
            "top_5": guesses[members].any(1).float().mean().item(),
            "tested_on": int(members.sum()),
        }
        for name, members in groups.items()
    ]


def accuracy_figure(rows: list[dict[str, Any]], names: Sequence[str] | None, title: str) -> Figure:
    """A figure with two bars for each class, and a line at the accuracy of all images."""
    of_classes = [row for row in rows if row["class"] != "all"]
    classes = list(dict.fromkeys(row["class"] for row in of_classes))
    plot = titled_figure(max(7, min(0.5 * len(classes), 14)), 4.5, "")
    plot.suptitle(title, fontsize="small")
    axes = plot.subplots()
    for shift, (kind, colour) in zip((-0.2, 0.2), COLOURS_OF.items(), strict=True):
        heights = [100 * row["accuracy"] for row in of_classes if row["trained_on"] == kind]
        mean = next(100 * row["accuracy"] for row in rows if row["class"] == "all" and row["trained_on"] == kind)
        places = [place + shift for place in range(len(classes))]
        axes.bar(places, heights, 0.4, color=colour, label=f"{kind} images, all classes {mean:.1f}%")
        axes.axhline(mean, color=colour, linewidth=1, linestyle="--")
    if len(classes) <= MOST_SHOWN:
        words = [names[number] if names else str(number) for number in classes]
        turn = 45 if max(map(len, words)) > 3 else 0
        axes.set_xticks(range(len(classes)), words, rotation=turn, ha="right" if turn else "center")
    axes.set(xlabel="class", ylabel="accuracy on real images, %", ylim=(0, 100))
    plot.legend(title="trained on", loc="outside lower center", ncols=2, frameon=False)
    return plot
