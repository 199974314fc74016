"""Samples as pictures: images as a grid, points as a scatter plot."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from lit_gan.data import to_uint8


def picture(samples: Tensor, columns: int | None = None) -> Tensor:
    """Samples [n, c, h, w] in [-1, 1] as a grid, or points [n, 2] as a plot: uint8 [height, width, 3]."""
    if samples.dim() == 2:
        return scatter(samples)
    columns = columns or math.ceil(math.sqrt(len(samples)))
    grid = make_grid(to_uint8(samples).cpu(), nrow=columns, padding=1, pad_value=128)
    return grid.permute(1, 2, 0).contiguous()


def scatter(points: Tensor, limit: float = 2.0) -> Tensor:
    """A plot of points in [-limit, limit]^2."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_subplot()
    axes.scatter(*points.cpu().T.numpy(), s=3, alpha=0.5)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return torch.from_numpy(np.array(Image.open(buffer).convert("RGB")))


def save_picture(image: Tensor, path: Path) -> None:
    """Writes a uint8 image [height, width, 3] as a PNG file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.numpy()).save(path)
