"""A discriminator that compares the samples of a batch."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.game import Discriminator, Generator, Regularizer, at_least_float32
from lit_gan.layers import widen
from lit_gan.ranges import Count, checked


class Closeness(nn.Module):
    """Features followed by how close those of the batch's other samples are.

    o_b(x_i) = sum over j other than i of exp(-||M_ib - M_jb||_1) with M_i = f(x_i) T, for each of B
    kernels of dimension C: between 0, all far away, and the number of other samples, all the same.
    """

    def __init__(self, n_features: int, n_kernels: int, kernel_dim: int):
        super().__init__()
        self.n_kernels = n_kernels
        self.T = nn.Linear(n_features, n_kernels * kernel_dim, bias=False)
        nn.init.normal_(self.T.weight, std=n_features**-0.5)

    def forward(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b more"]:
        """[b, f] to [b, f + B], the closeness in full precision."""
        M = at_least_float32(self.T(features)).T.contiguous().unflatten(0, (self.n_kernels, -1))
        distance = (M[..., None] - M[..., None, :]).abs().sum(1)
        closeness = distance.neg().exp().sum(2).T - 1
        return torch.cat([features, closeness.to(features.dtype)], 1)


class MinibatchDiscrimination(Regularizer):
    """D's last layer also sees how close a sample's features are to the others'. Salimans et al.
    2016, section 3.2.

    The paper's sum counts the sample itself, which adds 1 to all; here, as in the authors' code, it
    is left out. That code also has a bias of -1 for each kernel and scales the kernels by the first
    batch. Real and generated samples are compared among themselves, by each of several processes those
    of its own.

    Args:
        n_kernels: B, number of kernels; 100 in the authors' CIFAR-10 code.
        kernel_dim: C, numbers in each kernel; 5 in that code.

    Raises:
        UserError: one of them below 1.
    """

    @checked
    def __init__(self, n_kernels: Count = 100, kernel_dim: Count = 5):
        super().__init__()
        self.n_kernels, self.kernel_dim = n_kernels, kernel_dim

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Appends the comparison to D's body and widens all that reads D's features."""
        closeness = Closeness(D.n_features, self.n_kernels, self.kernel_dim)
        for head in (D.head, *D.heads.values()):
            widen(head, self.n_kernels)
        D.body.append(nn.Flatten())
        D.body.append(closeness)
