"""Directions in the latent space along which samples change most, from G's weights alone."""

from collections.abc import Iterable, Iterator
from statistics import mean
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from lit_gan.analysis.base import Analysis, Finding, check_images
from lit_gan.analysis.figures import DPI, show_images
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import panel_grid
from lit_gan.game import Images, Latents, Normal, Uniform
from lit_gan.layers import Matrix, n_classes_of
from lit_gan.ranges import AtLeastTwo, Count, Positive, checked
from lit_gan.sampling import Sampler

Directions = Float[Tensor, "k z"]


class SeFa(Analysis):
    """The directions of the latent space that G's first dense layer stretches most, and what samples
    do along them. Shen and Zhou 2021.

    They are the eigenvectors of A^T A with the largest eigenvalues, where A is that layer's weight
    as it is applied, whatever reparametrises it; only their signs are arbitrary. An eigenvalue over
    the sum of all of them is a direction's share of how much a random latent vector moves the
    layer's output. Beside them stands the mean of as many random directions.

    A G that takes labels has them fixed, one class after the other in the rows of the picture. Of a
    latent vector that a G cuts into parts (`model=biggan`), the dense layer reads the first alone,
    so that these are the directions of that part. Codes that are no real numbers stay as they are.

    Deviations from the authors' code (`utils.py`): it has directions of StyleGAN2's styles, too, from
    the layers that read them, where this analysis refuses a G that changes z before its first layer.
    It scales each row of A to length 1, which the paper does not, and takes the eigenvalues in no
    order.

    Columns: direction (its number, or "random"), eigenvalue, share, change (root mean square
    difference of the pixels, in [-1, 1], between the ends of the way), z1, z2, ... (the direction, of
    length 1; empty for the random ones).

    Args:
        directions: number of directions, 5 in their code.
        samples: number of samples that are moved.
        steps: number of pictures from one end to the other.
        reach: how far a sample is moved to either side, in units of the latent variables, 3 in
            their code.
    """

    @checked
    def __init__(self, directions: Count = 5, samples: Count = 4, steps: AtLeastTwo = 7, reach: Positive = 3.0):
        self.directions, self.samples, self.steps, self.reach = directions, samples, steps, reach

    def check(self, subject: Subject) -> None:
        """Refuses points and text, a G whose first dense layer does not read the latent vector
        itself, and more directions than it reads.

        Raises:
            UserError: names which of them it is.
        """
        check_images("sefa", subject)
        found = factorise(first_dense(subject.sampler()))
        rank = int((found.eigenvalues > 1e-6 * found.eigenvalues[0]).sum())
        if rank < self.directions:
            raise UserError(
                f"analysis.sefa.directions={self.directions} are more than the {rank} along which G's first dense "
                f"layer changes: lower it."
            )

    def find(self, subject: Subject) -> Finding:
        """Draws a panel of moved samples for each direction, and one for a random direction."""
        sampler = subject.sampler()
        A = first_dense(sampler)
        found, others = factorise(A), random_directions(self.directions, A, subject.seed)
        z = sampler.restart().vectors(self.samples)
        ways = [self.moved(subject, z, n) for n in found.directions[: self.directions]]
        random_ways = [self.moved(subject, z, n) for n in others]
        rows = [*direction_rows(found, map(change, ways)), random_row(found, others @ A.T, map(change, random_ways))]
        first, last = rows[0], rows[-1]
        summary = (
            f"direction 1 has {first['share']:.1%} of what the first layer does and changes pixels by "
            f"{first['change']:.3f}, a random one {last['share']:.1%} and {last['change']:.3f}"
        )
        return Finding(summary, rows, self.figure([*ways, random_ways[0]], rows))

    def moved(self, subject: Subject, z: Latents, direction: Float[Tensor, " z"]) -> Float[Tensor, "n s ..."]:
        """Samples moved along a direction, [samples, steps, *shape] on the CPU."""
        far = torch.linspace(-self.reach, self.reach, self.steps, device=z.device)[:, None]
        latents = z[:, None] + far * direction.to(z)
        y = torch.arange(len(z)) % (n_classes_of(subject.G) or 1)
        x = subject.generated(latents.flatten(0, 1), y.repeat_interleave(self.steps))
        return x.unflatten(0, latents.shape[:2])

    def figure(self, ways: list[Images], rows: list[dict[str, Any]]) -> Figure:
        """A figure with a panel for each direction: a row for each sample, from one end to the
        other."""
        side = max(48, ways[0].shape[-1]) / DPI
        columns = 2 if len(ways) > 2 else 1
        width, height = (self.steps * side + 0.3) * columns, self.samples * side + 0.35
        plot, grid = panel_grid(len(ways), columns, height, extra=0.6, width=max(6, width), dpi=DPI)
        for axes, way, row in zip(grid, ways, rows, strict=True):
            show_images(axes, way.flatten(0, 1), self.steps)
            name = f"direction {row['direction']}" if row["direction"] != "random" else "random direction"
            axes.set_title(f"{name}: {row['share']:.1%}, change {row['change']:.2f}", fontsize="small")
        share = "shares of what the first layer makes of latent vectors; changes of pixels in [-1, 1]"
        plot.suptitle(
            f"Samples moved by -{self.reach:g} to {self.reach:g} along directions\n({share})", fontsize="medium"
        )
        return plot


class Factors(NamedTuple):
    """The eigenvectors of A^T A, of length 1, and their eigenvalues, the largest first."""

    directions: Directions
    eigenvalues: Float[Tensor, " k"]


def factorise(A: Matrix) -> Factors:
    """The directions in the order of how much A stretches them."""
    eigenvalues, vectors = torch.linalg.eigh(A.T @ A)
    return Factors(vectors.T.flip(0), eigenvalues.flip(0).clamp(min=0))


def first_dense(sampler: Sampler) -> Matrix:
    """The matrix [out, z], in float64 on the CPU, by which the first of G's dense layers maps the
    latent variables that are real numbers; 0 for those that it does not read.

    It is what the layer makes of each unit vector, without what it makes of 0. So it has whatever
    stands before the layer: labels beside the latent vector, or parts of it that go elsewhere.

    Raises:
        UserError: no dense layer reads the latent vector, or the first is not linear in it.
    """
    width = sampler.G.z_dim
    probe = torch.randn(1, width, generator=torch.Generator().manual_seed(0))
    outputs = first_outputs(sampler, torch.cat([torch.zeros(1, width), torch.eye(width), probe]).to(sampler.device))
    columns, last = outputs[1:-1] - outputs[0], outputs[-1] - outputs[0]
    if not torch.allclose(probe[0].double() @ columns, last, rtol=1e-3, atol=1e-4 * last.abs().max().item()):
        raise UserError(
            "analysis=sefa factorises the layer that reads the latent vector, and the first dense layer of this G "
            "reads what something else has made of it: choose a run of another model."
        )
    numbers = [torch.full((part.size, 1), isinstance(part, Normal | Uniform)) for part in sampler.G.latents]
    return (columns * torch.cat(numbers)).T


def first_outputs(sampler: Sampler, z: Latents) -> Float[Tensor, "b out"]:
    """What the first dense layer whose output depends on the latent vectors makes of these, with the
    label 0, in float64 on the CPU.

    Raises:
        UserError: there is no such layer.
    """
    outputs: list[Tensor] = []
    dense = [layer for layer in sampler.G.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output)) for layer in dense]
    sampler.generate(z, torch.zeros(len(z), dtype=torch.long, device=z.device))
    for hook in hooks:
        hook.remove()
    for output in outputs:
        if output.ne(output[0]).any():
            return output.cpu().double()
    raise UserError("analysis=sefa finds no dense layer in G: choose a run of a model whose G begins with one.")


def random_directions(n: int, A: Matrix, seed: int) -> Directions:
    """Directions of length 1 among the latent variables that A reads."""
    noise = torch.randn(n, A.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return nn.functional.normalize(noise * A.abs().sum(0).gt(0))


def change(way: Float[Tensor, "n s ..."]) -> float:
    """By how much the pixels at the two ends of a way differ: the root mean square, averaged over the
    samples."""
    return (way[:, -1] - way[:, 0]).flatten(1).square().mean(1).sqrt().mean().item()


def direction_rows(found: Factors, changes: Iterable[float]) -> Iterator[dict[str, Any]]:
    """The rows of the table: one for each of the first directions."""
    total = found.eigenvalues.sum().item()
    for number, (direction, value, changed) in enumerate(zip(*found, changes, strict=False), start=1):
        vector = {f"z{place}": part for place, part in enumerate(direction.tolist(), start=1)}
        share = value.item() / total
        yield {"direction": number, "eigenvalue": value.item(), "share": share, "change": changed} | vector


def random_row(found: Factors, stretched: Float[Tensor, "k out"], changes: Iterable[float]) -> dict[str, Any]:
    """The row of the mean of random directions.

    Args:
        stretched: what A makes of them.
    """
    value = stretched.square().sum(1).mean().item()
    facts = {"eigenvalue": value, "share": value / found.eigenvalues.sum().item(), "change": mean(changes)}
    return {"direction": "random"} | facts | {f"z{place + 1}": "" for place in range(found.directions.shape[1])}
