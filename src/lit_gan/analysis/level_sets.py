"""D's output over the plane, for data of points."""

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.figures import SHADES, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, VERMILION
from lit_gan.layers import n_classes_of
from lit_gan.ranges import AtLeastTwo, Count, checked


class LevelSets(Analysis):
    """D's outputs over the plane, with real and generated points. Gulrajani et al. 2017, Figure 1a.

    A D that looks at labels is averaged over them. Columns: x, y, logit.

    Args:
        resolution: number of grid points along each side.
        points: number of points of each kind that are drawn.
        levels: number of levels between D's lowest and highest output.
    """

    @checked
    def __init__(self, resolution: AtLeastTwo = 100, points: Count = 500, levels: AtLeastTwo = 20):
        self.resolution, self.points, self.levels = resolution, points, levels

    def check(self, subject: Subject) -> None:
        """Refuses data other than points in the plane, and a D that compares the points of a batch.

        Raises:
            UserError: names which of them it is.
        """
        if subject.source.shape != (2,):
            raise UserError(
                f"analysis=level_sets draws D over the plane, and data={subject.source.name} has no points in it: "
                f"choose a run on data=gaussians, gaussians_grid or swiss_roll."
            )
        near, far = (mean_logits(subject, torch.tensor([[0.0, 0.0], [other, 0.0]]))[0] for other in (0.0, 100.0))
        if not torch.isclose(near, far):
            raise UserError(
                "analysis=level_sets asks what D says of a point, which with a D that compares those it is shown, as "
                "under reg=minibatch_discrimination, depends on the others: choose a run without."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws filled contours, with real points in vermilion and generated ones in white."""
        _, real, _ = subject.real("train", self.points)
        fake = subject.samples(self.points)
        limit = 1.3 * real.abs().max().item()
        ticks = torch.linspace(-limit, limit, self.resolution)
        plane = torch.cartesian_prod(ticks, ticks)
        logits = mean_logits(subject, plane)
        plot = titled_figure(6.5, 5.5, "D's level sets")
        axes = plot.subplots()
        surface = logits.view(self.resolution, self.resolution).T
        filled = axes.contourf(ticks, ticks, surface, self.levels, cmap=SHADES)
        plot.colorbar(filled, label="D's output (higher: more real)")
        axes.scatter(*real.T, s=12, color=VERMILION, edgecolors="black", linewidths=0.3, label="real")
        axes.scatter(*fake.T, s=12, color="white", marker="^", edgecolors=BLUE, linewidths=0.5, label="generated")
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.legend(loc="upper right", framealpha=0.9)
        values = zip(plane.tolist(), logits.tolist(), strict=True)
        rows = [{"x": point[0], "y": point[1], "logit": logit} for point, logit in values]
        return Finding(f"D's output between {logits.min():.3g} and {logits.max():.3g}", rows, plot)


@torch.no_grad()
def mean_logits(subject: Subject, points: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """D's output at each point, averaged over the labels, on the CPU."""
    logits = []
    for part in points.to(subject.device).split(subject.batch_size):
        labels = [torch.full((len(part),), label, device=part.device) for label in range(n_classes_of(subject.D) or 1)]
        logits.append(torch.stack([subject.judge(part, y).logits for y in labels]).mean(0))
    return torch.cat(logits).cpu()
