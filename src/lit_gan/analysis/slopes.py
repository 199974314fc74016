"""How steep D is, and how sure."""

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, GREY, VERMILION
from lit_gan.game import Images, Labels, uniform_per_sample
from lit_gan.ranges import Count, checked
from lit_gan.sampling import latents_and_labels
from lit_gan.system.random_numbers import keeping_random_state

COLOURS = {"real": VERMILION, "generated": BLUE, "between": GREY}
Judged = tuple[Float[Tensor, " n"], Float[Tensor, " n"]]


class Slopes(Analysis):
    """||grad_x D(x)||_2, and D's output, at training images that the players have been shown, at
    samples, and at points between the two. Gulrajani et al. 2017, Eq. 3, whose penalty wants a slope
    of 1 at the latter.

    An output far from 0 with a steep slope is a D that is sure; a slope near 0 is one that teaches G
    nothing. Images are in [-1, 1], the networks in eval mode. Where D looks at labels, the points
    between have those of the real samples; where it compares the samples of a batch, the slope is that
    of all their outputs together.

    Columns: at ("real", "generated" or "between"), slope, logit; a row for each sample.

    Args:
        samples: number of samples of each kind.
    """

    @checked
    def __init__(self, samples: Count = 500):
        self.samples = samples

    def check(self, subject: Subject) -> None:
        """Refuses a D that judges packs of samples, which have no slope of their own.

        Raises:
            UserError: says so.
        """
        if subject.D.pack > 1:
            raise UserError(
                "analysis=slopes asks for D's slope at single samples, and this D judges packs of them (reg=pacgan): "
                "choose a run without."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws histograms of the slopes on the left, of the outputs on the right."""
        found = {at: judged(subject, *samples) for at, samples in self.places(subject).items()}
        plot = titled_figure(11, 4, "D at real samples, at generated ones, and between them")
        for axes, number, label in zip(plot.subplots(1, 2), (0, 1), ("slope of D", "output of D"), strict=True):
            for at, values in found.items():
                axes.hist(values[number].numpy(), 40, histtype="step", color=COLOURS[at], linewidth=1.8, label=at)
            axes.set(xlabel=label, ylabel="samples")
            axes.legend()
        rows = [
            {"at": at, "slope": slope, "logit": logit}
            for at, values in found.items()
            for slope, logit in zip(*(each.tolist() for each in values), strict=True)
        ]
        words = [f"{at} {slope.mean():.3g} (output {logit.mean():.3g})" for at, (slope, logit) in found.items()]
        return Finding(f"mean slope of D: {', '.join(words)}", rows, plot)

    def places(self, subject: Subject) -> dict[str, tuple[Images, Labels]]:
        """The samples at which D is looked at, with their labels, on the networks' device."""
        _, stored, y = subject.shown(self.samples)
        real, y = subject.as_network_input(stored), y.to(subject.device)
        z, y_fake = latents_and_labels(subject.sampler(), len(real), None)
        fake = subject.generated(z, y_fake).to(real)
        with keeping_random_state(real.device):
            torch.manual_seed(subject.seed)
            middle = torch.lerp(fake, real, uniform_per_sample(real))
        return {"real": (real, y), "generated": (fake, y_fake.to(subject.device)), "between": (middle, y)}


def judged(subject: Subject, x: Images, y: Labels) -> Judged:
    """The slope and the output of D at each sample, on the CPU."""
    found = []
    for samples, labels in zip(x.split(subject.batch_size), y.split(subject.batch_size), strict=True):
        samples = samples.detach().requires_grad_()
        logits = subject.D(samples, labels).logits
        (gradient,) = torch.autograd.grad(logits.sum(), samples)
        found.append((gradient.flatten(1).norm(dim=1).cpu(), logits.detach().cpu()))
    return tuple(map(torch.cat, zip(*found, strict=True)))
