"""Claims about networks: what upsampling leaves in an image, how far a layer sees, how depth changes the start."""

import pytest
import torch
from torch import nn

from lit_gan.models import dcgan, layers, r3gan
from lit_gan.models.attention import SelfAttention
from lit_gan.models.biggan import WideDownBlock


def energies(kernel_size, upsample, seeds=16):
    """Energy at the four places of a 2 x 2 cell in images of untrained DCGANs, [seeds, 4], its mean over places 1.

    The border is left out.
    """
    rows = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        G = dcgan.Generator((3, 64, 64), width=16, kernel_size=kernel_size, upsample=upsample)
        with torch.no_grad():
            x = G(G.draw(64))[:, :, 16:48, 16:48]
        row = torch.stack([x[:, :, i::2, j::2].square().mean() for i in (0, 1) for j in (0, 1)])
        rows.append(row / row.mean())
    return torch.stack(rows)


def spread(energies):
    """Standard deviation over the four places; the mean over seeds where there are several."""
    return energies.std(-1).mean().item()


@pytest.mark.claim(
    "Transposed convolutions favour some pixels, from the start, where the stride does not divide the kernel size; "
    "where it does, or behind a resize, they favour none",
    "Odena et al. 2016, Deconvolution and Checkerboard Artifacts",
    on="16 untrained DCGANs, 64 px, width 16; spread of their mean energy over the places of a 2 x 2 cell",
)
def test_an_odd_kernel_of_stride_two_leaves_a_checkerboard(measured):
    odd, even = (spread(energies(kernel_size, layers.transposed).mean(0)) for kernel_size in (5, 4))
    resized = spread(energies(5, layers.nearest).mean(0))
    measured("transposed, 5 x 5", odd)
    measured("transposed, 4 x 4", even)
    measured("resized, 5 x 5", resized)
    # 3 or 2 taps in each direction make energies 9 : 6 : 6 : 4, a spread of 0.33, in the last layer alone
    assert odd > 0.25
    assert max(even, resized) < 0.1


@pytest.mark.claim(
    "A pixel shuffle starts with a checkerboard, and without one if the filters of a cell start equal (ICNR)",
    "Aitken et al. 2017, Checkerboard artifact free sub-pixel convolution",
    on="16 untrained DCGANs, 64 px, width 16; mean over them of the spread of energy over the places of a 2 x 2 cell",
)
def test_equal_filters_start_without_a_checkerboard(measured, monkeypatch):
    equal = spread(energies(3, layers.pixel_shuffle))
    monkeypatch.setattr(dcgan, "equalise_subpixels", lambda body: None)
    free = spread(energies(3, layers.pixel_shuffle))
    measured("equal filters", equal)
    measured("independent filters", free)
    assert equal < 1e-5
    assert free > 0.1


def pairs(n, alike):
    """Images [n, 1, 16, 16] of two squares, one at the left edge, one at the right, of one sign or of two."""
    x, images, sign = torch.zeros(n, 1, 16, 16), torch.arange(n), torch.randint(2, (n,)) * 2.0 - 1
    for value, first in ((sign, 0), (sign if alike else -sign, 12)):
        row, column = torch.randint(15, (n,)), torch.randint(first, first + 3, (n,))
        for place in range(4):
            x[images, 0, row + place // 2, column + place % 2] = value
    return x


def told_apart(layer, seed, updates=300):
    """The share of new pairs that a D tells apart: two convolutions, this layer, ReLU, sum and dense, as in SNGAN."""
    torch.manual_seed(seed)
    local = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU()]
    D = nn.Sequential(*local, layer, nn.ReLU(), layers.SumPool(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.0, 0.9))
    for _ in range(updates):
        optimizer.zero_grad()
        (torch.relu(1 - D(pairs(64, True))).mean() + torch.relu(1 + D(pairs(64, False))).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        return torch.cat([D(pairs(500, True)) > 0, D(pairs(500, False)) < 0]).float().mean().item()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.claim(
    "Attention relates places that are far from each other; a residual block in its place, which is larger, does not",
    "Zhang et al. 2019 (SAGAN), abstract and Table 1",
    on="images of 16 px with two squares at opposite edges, of one sign as real and of two as generated ones; D of two "
    "convolutions to 32 maps of 8 x 8, the layer, global sum and dense, hinge, 300 updates, 2 seeds",
)
def test_attention_sees_far(measured):
    attention = [told_apart(SelfAttention(32), seed) for seed in range(2)]
    block = [told_apart(WideDownBlock(32, 32, halve=False), seed) for seed in range(2)]
    measured("told apart with attention", " ".join(f"{share:.2f}" for share in attention))
    measured("with a residual block", " ".join(f"{share:.2f}" for share in block))
    assert min(attention) > 0.9
    assert max(block) < 0.6


@torch.no_grad()
def output_of(depth, gains):
    """Second moment of D's features of noise, 8 networks of so many blocks at each resolution and with these gains."""
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        D = r3gan.Discriminator((1, 16, 16), width=16, depth=depth)
        for block in (layer for layer in D.modules() if isinstance(layer, r3gan.GroupedBlock)):
            for convolution, gain in zip(block.residual[::2], gains(block), strict=True):
                convolution.weight.normal_(0, gain / convolution.weight[0].numel() ** 0.5)
        found.append(D(torch.randn(16, 1, 16, 16)).features.square().mean())
    return torch.stack(found).mean().item()


@pytest.mark.claim(
    "Without normalisation the residual networks of R3GAN start at one size whatever their depth, because the last "
    "convolution of each block is 0; drawn as the others, they explode with the depth",
    "Huang et al. 2024 (R3GAN), the initialisation of configuration E",
    on="D of width 16 for 16 px at its start, 1 and 8 blocks at each resolution, 8 networks",
)
def test_blocks_of_zero_keep_the_size(measured):
    he = [r3gan.SLOPE_GAIN] * 3
    zero = output_of(8, lambda _: [*he[:2], 0.0]) / output_of(1, lambda _: [*he[:2], 0.0])
    drawn = output_of(8, lambda _: he) / output_of(1, lambda _: he)
    measured("features' second moment with 8 blocks over that with 1", zero)
    measured("all convolutions drawn alike", drawn)
    assert 0.5 < zero < 2
    assert drawn > 1e3
