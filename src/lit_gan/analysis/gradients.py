"""How strongly D's loss reaches each of D's layers."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.figures import titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE
from lit_gan.game import Turn, in_float64
from lit_gan.layers import weight_layers
from lit_gan.ranges import AtLeastTwo, checked


class Gradients(Analysis):
    """The norm of the gradient of D's loss at the output of each layer of D. Gulrajani et al. 2017,
    Figure 1b, left.

    It is the gradient of the loss alone, without regularizers, on one batch of real and generated
    samples, with the networks in eval mode; the norm is over the whole batch, before the layer's
    activation function.

    Columns: place (1 at the input), layer, norm.

    Args:
        batch: number of samples of each kind.
    """

    @checked
    def __init__(self, batch: AtLeastTwo = 256):
        self.batch = batch

    def find(self, subject: Subject) -> Finding:
        """Draws one point for each layer, from the input to the output.

        Raises:
            UserError: the loss passes through no layer of D, or D's packs do not divide the batch.
        """
        norms = gradient_norms(subject, self.batch)
        if not norms:
            raise UserError(
                "analysis=gradients finds no layer in D through which its loss passes: choose a run of another model."
            )
        plot = titled_figure(max(5, 1 + 0.5 * len(norms)), 4.5, "Gradient of D's loss")
        axes = plot.subplots()
        axes.plot(list(norms), list(norms.values()), color=BLUE, marker="o")
        axes.set(xlabel="layer of D, from the input to the output", ylabel="norm at the layer's output", yscale="log")
        axes.tick_params(axis="x", labelrotation=60)
        axes.grid(axis="y", alpha=0.3)
        rows = [{"place": place, "layer": name, "norm": norm} for place, (name, norm) in enumerate(norms.items(), 1)]
        first, last = rows[0]["norm"], rows[-1]["norm"]
        return Finding(f"{first:.3g} at the first layer, {last:.3g} at the last", rows, plot)


def gradient_norms(subject: Subject, batch: int) -> dict[str, float]:
    """The norm of the gradient at each layer, in the order in which D uses them.

    Raises:
        UserError: D judges packs of samples, which do not divide the batch.
    """
    _, x, y = subject.real("train", batch)
    if len(x) % (m := subject.D.pack):
        raise UserError(
            f"analysis.gradients.batch={batch} gives {len(x)} samples, which D, with reg.pacgan.m={m}, cannot judge in "
            f"packs: set analysis.gradients.batch={len(x) // m * m or m}, or another multiple."
        )
    z = subject.G.draw(len(x), torch.Generator().manual_seed(subject.seed))
    turn = Turn("d", subject.G, subject.D, subject.as_network_input(x), y.to(subject.device), z)
    with probed(subject.D) as probes:
        loss = subject.gan.loss.objective(turn)
    gradients = torch.autograd.grad(loss, [probe for group in probes.values() for probe in group], allow_unused=True)
    found = iter(gradients)
    norms = {name: joint_norm([next(found) for _ in group]) for name, group in probes.items()}
    return {name: norm for name, norm in norms.items() if norm is not None}


def joint_norm(gradients: list[Tensor | None]) -> float | None:
    """The norm of several gradients as one vector; None if none of them exists."""
    there = [in_float64(gradient).square().sum() for gradient in gradients if gradient is not None]
    return sum(there).sqrt().item() if there else None


@contextmanager
def probed(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Adds a zero to the output of every layer with a weight; the loss's gradient there is the
    gradient of the output.

    Unlike the output itself, the zero is safe from activation functions that work in place.
    """
    probes = defaultdict(list)

    def probe(name: str):
        def hook(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            probes[name].append(torch.zeros_like(output, requires_grad=True))
            return output + probes[name][-1]

        return hook

    hooks = [layer.register_forward_hook(probe(name)) for name, layer in weight_layers(network)]
    try:
        yield probes
    finally:
        for hook in hooks:
            hook.remove()
