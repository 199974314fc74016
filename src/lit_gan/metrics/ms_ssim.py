"""How alike images are: multi-scale structural similarity of random pairs."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales. Wang et al. 2003, section 3.2."""
WINDOW = 11
"""The width of the Gaussian window in pixels."""

Pixels = UInt8[Tensor, "n c h w"]


def n_scales(size: int) -> int:
    """How many of the scales 1, 1/2, 1/4, 1/8 and 1/16 of an image hold the window; it may be 0."""
    possible = [n for n in range(1, 6) if size // 2 ** (n - 1) >= WINDOW]
    # torchmetrics refuses more than these two conditions allow, though its halvings need less room.
    return max((n for n in possible if size // max(1, n - 1) ** 2 >= WINDOW and size >= 2**n), default=0)


def similarity(images: Pixels, scales: int) -> float:
    """The mean MS-SSIM of images 0 and 1, 2 and 3, and so on.

    Args:
        scales: the number of scales, whose weights are made to sum to 1.
    """
    betas = torch.tensor(BETAS[:scales])
    betas = tuple((betas / betas.sum()).tolist())
    first, second = images[: len(images) // 2 * 2].float().div(255).unflatten(0, (-1, 2)).unbind(1)
    values = [
        multiscale_structural_similarity_index_measure(
            *pair, kernel_size=WINDOW, data_range=1.0, betas=betas, normalize="relu", reduction="none"
        ).flatten()
        for pair in zip(first.split(100), second.split(100), strict=True)
    ]
    return torch.cat(values).mean().item()
