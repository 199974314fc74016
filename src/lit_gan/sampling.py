"""Drawing samples from a trained generator, the same ones every time."""

import copy

import torch
from torch import Tensor

from lit_gan.game import Generator


class Sampler:
    """Endless samples of a copy of G: calling it with n gives the next n.

    Args:
        seed: of the latent vectors, which are drawn on the CPU and so do not depend on the device.
        batch_statistics: batch normalisation with each batch's own statistics instead of the running ones.
        n_classes: labels are drawn uniformly from so many; 1 without labels.
    """

    def __init__(self, G: Generator, seed: int = 0, batch_statistics: bool = False, n_classes: int = 1):
        self.G = copy.deepcopy(G).train(batch_statistics)
        self.generator = torch.Generator().manual_seed(seed)
        self.n_classes = n_classes
        self.device = next(G.parameters()).device

    def __call__(self, n: int) -> Tensor:
        """The next n samples, [n, *shape] in [-1, 1], float32."""
        z = self.G.draw(n, self.generator)
        y = torch.randint(self.n_classes, (n,), generator=self.generator).to(self.device)
        return self.generate(z, y)

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """The samples of given latent vectors."""
        return self.G(z, y).float()
