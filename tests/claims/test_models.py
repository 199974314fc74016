"""Claims about networks: what upsampling leaves in an image, how far a layer sees, what a latent vector moves."""

from functools import partial

import pytest
import torch
from torch import nn

from lit_gan.models import biggan, dcgan, layers, r3gan
from lit_gan.models.attention import SelfAttention


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
    """Images [n, 1, 16, 16] of two squares at the left and at the right edge, of one sign or of two.

    The residual block below sees 14 of the 16 columns, which is less than from one to the other.
    """
    x, images, sign = torch.zeros(n, 1, 16, 16), torch.arange(n), torch.randint(2, (n,)) * 2.0 - 1
    for value, column in ((sign, 0), (sign if alike else -sign, 14)):
        row = torch.randint(15, (n,))
        for place in range(4):
            x[images, 0, row + place // 2, column + place % 2] = value
    return x


def told_apart(make, seed, updates=600):
    """The share of new pairs that a D tells apart: two convolutions, a layer, ReLU, sum and dense, as in SNGAN."""
    torch.manual_seed(seed)
    local = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU()]
    D = nn.Sequential(*local, make(), nn.ReLU(), layers.SumPool(), nn.Linear(32, 1))
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
    "Zhang et al. 2019 (SAGAN), abstract",
    on="images of 16 px with two squares at opposite edges, of one sign as real and of two as generated ones; D of two "
    "convolutions to 32 maps of 8 x 8, the layer, global sum and dense, hinge, 600 updates, 3 seeds; of two more "
    "attention layers one had not learned by then",
)
def test_attention_sees_far(measured):
    attention = [told_apart(partial(SelfAttention, 32), seed) for seed in range(3)]
    block = [told_apart(partial(biggan.WideDownBlock, 32, 32, halve=False), seed) for seed in range(3)]
    measured("told apart with attention", " ".join(f"{share:.2f}" for share in attention))
    measured("with a residual block", " ".join(f"{share:.2f}" for share in block))
    assert min(attention) > 0.9
    assert max(block) < 0.8  # who sees each square alone is right in three of the four cases at best


@torch.no_grad()
def growth(depth, last):
    """What its blocks, so many at each resolution, make of the second moment of D's features of noise, at the start.

    `last` is the gain of the third convolution in each block. The mean over 4 networks.
    """
    found = []
    for seed in range(4):
        torch.manual_seed(seed)
        D, x = r3gan.Discriminator((1, 16, 16), width=16, depth=depth), torch.randn(16, 1, 16, 16)
        blocks = [place for place, layer in enumerate(D.body) if isinstance(layer, r3gan.GroupedBlock)]
        for place in blocks:
            for convolution, gain in zip(D.body[place].residual[::2], (*[r3gan.SLOPE_GAIN] * 2, last), strict=True):
                convolution.weight.normal_(0, gain / convolution.weight[0].numel() ** 0.5)
        whole = D(x).features.square().mean()
        for place in blocks:
            D.body[place] = nn.Identity()
        found.append(whole / D(x).features.square().mean())
    return torch.stack(found).mean().item()


@pytest.mark.claim(
    "Where the last convolution of each block starts at 0, networks without normalisation keep the size of what passes "
    "whatever their depth; drawn as the others it makes them explode",
    "Huang et al. 2024 (R3GAN), configuration E; Zhang et al. 2019 (Fixup)",
    on="D of R3GAN of width 16 for 16 px at its start, 1 and 8 blocks at each resolution, 4 networks; second moment of "
    "its features over that without blocks",
)
def test_blocks_that_start_at_zero_keep_the_size(measured):
    found = {(depth, last): growth(depth, last) for last in (0.0, 1.0) for depth in (1, 8)}
    for (depth, last), value in found.items():
        measured(f"{depth} at each resolution, last convolution {'drawn' if last else '0'}", value)
    assert found[1, 0] == found[8, 0] == 1
    assert found[8, 1] > 1e3 * found[1, 1] > 1e3


@torch.no_grad()
def sides_moved(hierarchical):
    """Sides of G's feature maps that change with each quarter of the latent vector."""
    G, maps = biggan.Generator((1, 32, 32), z_dim=16, width=8, hierarchical=hierarchical).eval(), []
    for layer in G.body[1:5]:  # the 4 x 4 map and the three blocks
        layer.register_forward_hook(lambda layer, args, output: maps.append(output))
    z = G.draw(16)
    G(z)
    for quarter in range(4):
        other = z.clone()
        other[:, 4 * quarter : 4 * quarter + 4] = G.draw(16)[:, :4]
        G(other)
    start, *changed = (maps[place : place + 4] for place in range(0, 20, 4))
    return [
        [before.shape[-1] for before, after in zip(start, moved, strict=True) if (before - after).abs().max() > 1e-6]
        for moved in changed
    ]


@pytest.mark.claim(
    "Parts of a hierarchical latent vector reach features at different resolutions directly",
    "Brock et al. 2019 (BigGAN), section 3",
    on="untrained G for 32 px of width 8; which of the maps of 4, 8, 16 and 32 px change with each quarter of z",
)
def test_parts_of_z_move_maps_of_their_own(measured):
    found = {"hierarchical": sides_moved(True), "one vector": sides_moved(False)}
    for name, sides in found.items():
        measured(name, ", ".join(" ".join(map(str, each)) for each in sides))
    assert found["hierarchical"] == [[4, 8, 16, 32], [8, 16, 32], [16, 32], [32]]
    assert found["one vector"] == [[4, 8, 16, 32]] * 4
