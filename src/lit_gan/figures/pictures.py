"""Samples as one sees them: images as a grid, points as a scatter plot, text as lines."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from lit_gan.data import Source, to_uint8
from lit_gan.records.files import replacing, write_text


@dataclass(frozen=True)
class Picture:
    """Samples to look at: pixels, uint8 [height, width, 3]."""

    pixels: Tensor

    def save(self, path: Path) -> None:
        """Writes `path`.png and makes its folder."""
        save_picture(self.pixels, path.with_suffix(".png"))

    def log(self, logger: Logger, name: str, update: int, caption: str) -> None:
        """Shows the picture in a logger that takes pictures, where it can below a caption; other
        loggers get nothing."""
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [self.pixels.numpy()], step=update, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, self.pixels, update, dataformats="HWC")


@dataclass(frozen=True)
class Page:
    """Samples to read: lines of text, with an empty one after every `group` of them."""

    lines: list[str]
    group: int | None = None

    def __str__(self) -> str:
        size = self.group or len(self.lines)
        groups = [self.lines[start : start + size] for start in range(0, len(self.lines), size)]
        return "\n\n".join("\n".join(group) for group in groups) + "\n"

    def save(self, path: Path) -> None:
        """Writes `path`.txt in UTF-8 and makes its folder."""
        write_text(path.with_suffix(".txt"), str(self))

    def log(self, logger: Logger, name: str, update: int, caption: str) -> None:
        """Shows the lines in a logger that takes text, without the caption; other loggers get
        nothing."""
        if isinstance(logger, WandbLogger):
            logger.log_text(name, columns=["text"], data=[[line] for line in self.lines], step=update)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, f"```\n{self}```", update)


def render(
    source: Source | None, samples: Tensor, columns: int | None = None, rows: Sequence[str] | None = None
) -> Picture | Page:
    """Generated samples as a person looks at them: images and points as a picture, text as a page.

    Args:
        source: the data set, which turns samples of text into lines; None for other samples where
            there is no data set.
        samples: as G makes them, images [n, c, h, w] in [-1, 1], points [n, 2] or texts.
        columns: images in a row; None: as many as there are rows.
        rows: a name to stand beside each row of images.
    """
    lines = None if source is None else source.lines(samples)
    if lines is not None:
        return Page(lines, columns)
    pixels = picture(samples, columns)
    if rows and samples.dim() == 4:
        pixels = with_row_names(pixels, rows, samples.shape[2] + PADDING)
    return Picture(pixels)


def picture(samples: Tensor, columns: int | None = None) -> Tensor:
    """Pixels, uint8 [height, width, 3], of images [n, c, h, w] in [-1, 1] as a grid, or of points
    [n, 2] as a plot."""
    if samples.dim() == 2:
        return scatter(samples)
    columns = columns or math.ceil(math.sqrt(len(samples)))
    grid = make_grid(to_uint8(samples).cpu(), nrow=columns, padding=PADDING, pad_value=GREY)
    return grid.permute(1, 2, 0).contiguous()


PADDING, GREY = 1, 128
"""Pixels between the images of a grid, and their shade of 0 to 255."""
LOWEST_ROW = 9
"""Letters need so many pixels to be read."""


def with_row_names(grid: UInt8[Tensor, "h w 3"], names: Sequence[str], height: int) -> UInt8[Tensor, "h v 3"]:
    """A grid with a name at the left of each of its rows; the bare grid where the rows are too low
    for letters.

    Args:
        height: of a row, in pixels.
    """
    if height < LOWEST_ROW:
        return grid
    font, words = label_font(min(11, height - 1)), [shorten(name) for name in names]
    width = 4 + math.ceil(max(font.getlength(word) for word in words))
    margin = Image.new("RGB", (width, len(grid)), (GREY, GREY, GREY))
    for number, word in enumerate(words):
        ImageDraw.Draw(margin).text((2, PADDING + (number + 0.5) * height), word, "white", font, anchor="lm")
    return torch.cat([torch.from_numpy(np.array(margin)), grid], 1)


def label_font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own font, which has the letters of most alphabets; Pillow's has those of English
    alone."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def shorten(word: str, most: int = 24) -> str:
    """A word cut to at most so many letters, for a margin."""
    return word if len(word) <= most else f"{word[: most - 3]}..."


def scatter(points: Tensor, limit: float = 2.0) -> Tensor:
    """A plot of points [n, 2] in [-limit, limit]^2; numbers [n, 1] lie on the first axis."""
    from matplotlib.figure import Figure  # late, for it takes a moment and only points need it

    from lit_gan.figures.style import figure_bytes

    points = torch.nn.functional.pad(points, (0, 2 - points.shape[1]))

    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_subplot()
    axes.scatter(*points.cpu().T.numpy(), s=3, alpha=0.5)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    image = Image.open(io.BytesIO(figure_bytes(figure, "png")))
    return torch.from_numpy(np.array(image.convert("RGB")))


def save_picture(image: Tensor, path: Path) -> None:
    """Writes a uint8 image [height, width, 3] as a PNG file and makes its folder."""
    with replacing(path) as temporary:
        Image.fromarray(image.numpy()).save(temporary, format="PNG")
