"""Straight lines through the latent space."""

import torch
from jaxtyping import Float
from torch import Tensor

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import contact_sheet
from lit_gan.analysis.subject import Subject
from lit_gan.layers import n_classes_of
from lit_gan.ranges import AtLeastTwo, Count, checked


class Interpolation(Analysis):
    """Samples on straight lines through random latent vectors, row by row. Radford et al. 2016,
    Figure 4.

    A G that takes labels makes one class per row. Columns: row, step, and the distance (root mean
    square over the pixels in [-1, 1]) to the sample before, which leaps where G has memorised
    instead of learnt.

    Args:
        rows: number of lines.
        points: number of latent vectors on each line, 9 in the paper.
        steps: number of samples from one of them to the next.
    """

    @checked
    def __init__(self, rows: Count = 10, points: AtLeastTwo = 9, steps: Count = 2):
        self.rows, self.points, self.steps = rows, points, steps

    def check(self, subject: Subject) -> None:
        """Refuses points and text."""
        check_images("interpolation", subject)

    def find(self, subject: Subject) -> Finding:
        """Draws one row of samples for each line."""
        sampler = subject.sampler()
        corners = sampler.G.draw(self.rows * self.points, sampler.generator).unflatten(0, (self.rows, self.points))
        lines = polyline(corners, self.steps)
        y = torch.arange(self.rows) % (n_classes_of(subject.G) or 1)
        x = subject.generated(lines.flatten(0, 1), y.repeat_interleave(lines.shape[1]))
        leaps = x.unflatten(0, lines.shape[:2]).diff(dim=1).flatten(2).square().mean(2).sqrt()
        rows = [
            {"row": row, "step": step, "distance": distance}
            for row, line in enumerate(leaps.tolist(), start=1)
            for step, distance in enumerate(line, start=1)
        ]
        title = f"{self.points} latent vectors in a row, {self.steps} steps from each to the next"
        found = f"a step changes the sample by {leaps.mean():.3f} on average, by {leaps.max():.3f} at most"
        return Finding(found, rows, contact_sheet(x, lines.shape[1], title))


def polyline(corners: Float[Tensor, "rows points z"], steps: int) -> Float[Tensor, "rows length z"]:
    """Each row's line from corner to corner in `steps` equal steps: (points - 1) * steps + 1 latent
    vectors."""
    share = torch.arange(steps, device=corners.device)[:, None] / steps
    legs = torch.lerp(corners[:, :-1, None], corners[:, 1:, None], share)
    return torch.cat([legs.flatten(1, 2), corners[:, -1:]], 1)
