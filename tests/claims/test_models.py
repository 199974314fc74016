"""Claims about networks: what upsampling leaves in an image."""

import pytest
import torch

from lit_gan.models import dcgan, layers


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
