"""Samples as one sees them: images as a grid, points as a scatter plot, text as lines."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from lit_gan.data import Source, to_uint8
from lit_gan.files import replacing, write_text


@dataclass(frozen=True)
class Picture:
    """Something to look at: uint8 [height, width, 3]."""

    pixels: Tensor

    def save(self, path: Path) -> None:
        """Writes `path`.png, making its folder."""
        save_picture(self.pixels, path.with_suffix(".png"))

    def log(self, logger: Logger, name: str, update: int) -> None:
        """Shows it in a logger that has pictures."""
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [self.pixels.numpy()], step=update)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, self.pixels, update, dataformats="HWC")


@dataclass(frozen=True)
class Page:
    """Something to read: lines, with an empty one after every `group` of them."""

    lines: list[str]
    group: int | None = None

    def __str__(self) -> str:
        size = self.group or len(self.lines)
        groups = [self.lines[start : start + size] for start in range(0, len(self.lines), size)]
        return "\n\n".join("\n".join(group) for group in groups) + "\n"

    def save(self, path: Path) -> None:
        """Writes `path`.txt in UTF-8, making its folder."""
        write_text(path.with_suffix(".txt"), str(self))

    def log(self, logger: Logger, name: str, update: int) -> None:
        """Shows it in a logger that has text."""
        if isinstance(logger, WandbLogger):
            logger.log_text(name, columns=["text"], data=[[line] for line in self.lines], step=update)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, f"```\n{self}```", update)


def shown(source: Source, samples: Tensor, columns: int | None = None) -> Picture | Page:
    """Generated samples of a data set, `columns` in a row."""
    lines = source.lines(samples)
    return Picture(picture(samples, columns)) if lines is None else Page(lines, columns)


def picture(samples: Tensor, columns: int | None = None) -> Tensor:
    """Samples [n, c, h, w] in [-1, 1] as a grid, or points [n, 2] as a plot: uint8 [height, width, 3]."""
    if samples.dim() == 2:
        return scatter(samples)
    columns = columns or math.ceil(math.sqrt(len(samples)))
    grid = make_grid(to_uint8(samples).cpu(), nrow=columns, padding=1, pad_value=128)
    return grid.permute(1, 2, 0).contiguous()


def scatter(points: Tensor, limit: float = 2.0) -> Tensor:
    """A plot of points [n, 2] in [-limit, limit]^2; numbers [n, 1] lie on the first axis."""
    from matplotlib.figure import Figure

    points = torch.nn.functional.pad(points, (0, 2 - points.shape[1]))

    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_subplot()
    axes.scatter(*points.cpu().T.numpy(), s=3, alpha=0.5)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return torch.from_numpy(np.array(Image.open(buffer).convert("RGB")))


def save_picture(image: Tensor, path: Path) -> None:
    """Writes a uint8 image [height, width, 3] as a PNG file, making its folder."""
    with replacing(path) as temporary:
        Image.fromarray(image.numpy()).save(temporary, format="PNG")
