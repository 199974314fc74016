"""Pixels on their way to the networks: from 0..255 to [-1, 1], and back."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_unit(x: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Pixels 0..255 as float32 in [-1, 1]: x / 127.5 - 1."""
    return x.float().div_(127.5).sub_(1)


def dequantize(x: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Pixels as float32 in [-1, 1] with uniform noise of one grey level: x / 128 - 1 + U[0, 1/128).

    Miyato et al. 2018, the authors' code (`datasets/cifar10.py`). The noise comes from torch's
    global generator.
    """
    return torch.rand(x.shape, device=x.device).add_(x).div_(128).sub_(1)


def flipped(x: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
    """Images of which each is mirrored left to right with probability 1/2, by torch's global
    generator."""
    return torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)


def to_uint8(x: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Samples in [-1, 1] as files hold them: x * 127.5 + 127.5, rounded, clipped to 0..255.

    Half a level rounds up. Rounding makes this the inverse of `to_unit`; the SNGAN authors'
    evaluation truncates instead, which is half a level darker on average.
    """
    return x.float().mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)
