"""Files of samples: PNG images and grids, text, npz."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from lit_gan.build import choose_device
from lit_gan.data import Source, to_uint8
from lit_gan.errors import UserError
from lit_gan.figures.pictures import Page, Picture, render
from lit_gan.game import Generator
from lit_gan.records.directory import load_config
from lit_gan.records.files import replacing
from lit_gan.records.results import Results
from lit_gan.sampling import Sampler, class_number
from lit_gan.settings import SAMPLE, check_settings
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_generator

GRID = BLOCK = 256
SINGLES = "images"
"""The folder, below the output, of nothing but the single images: what tools that score folders are pointed at."""


def sample(config: DictConfig) -> None:
    """Everything that conf/sample.yaml describes; the same seed gives the same samples."""
    directory = chosen_run(config)
    check_settings(config, SAMPLE)
    device = choose_device(config.device)
    trained, output = load_config(directory), Path(config.output)
    G, update = load_generator(trained, directory, config.checkpoint, config.ema)
    source, G = moved_source(config, trained), G.to(device)
    names = class_names(directory, source, config["class"])
    label = None if config["class"] is None else class_number(config["class"], names)
    check_room(output / SINGLES, config.n)
    sampler = Sampler(G, config.seed)
    inputs = zip(*(part.split(config.batch_size) for part in chosen(sampler, config.n, label)), strict=True)
    samples = torch.cat([sampler.generate(z, y).cpu() for z, y in inputs])
    output.mkdir(parents=True, exist_ok=True)
    if source.lines(samples[:1]) is None:
        overview(config, G, source, samples, names).save(output / "grid")
        save_images(samples, output / SINGLES)
    else:
        render(source, samples).save(output / "samples")
    if config.interpolations:
        rows = interpolation(Sampler(G, config.seed), config.interpolations, config.steps, label or 0)
        render(source, rows, config.steps).save(output / "interpolation")
    if config.npz:
        with replacing(output / "samples.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, array(source, samples))
    of = "" if label is None else f"of class {label}{f', {names[label]},' if names else ''} "
    print(f"{config.n} samples {of}of update {update} in {output}")


def overview(
    config: DictConfig, G: Generator, source: Source, samples: Tensor, names: Sequence[str] | None
) -> Picture | Page:
    """A grid of the samples; of all classes it has a row for each, with new samples."""
    sampler = Sampler(G, config.seed)
    if sampler.n_classes is None or config["class"] is not None:
        return render(source, samples[:GRID])
    return render(source, *sampler.grid(min(config.n, GRID)), names)


def class_names(directory: Path, source: Source, wanted: int | str | None) -> Sequence[str] | None:
    """The names of a run's classes by their numbers, None where they have none.

    A run from before names were recorded has those of its data, which are looked at only where a name is asked for.
    """
    names = Results(directory).content.get("class_names")
    return source.class_names if names is None and isinstance(wanted, str) else names


def check_room(folder: Path, n: int) -> None:
    """Refuses a folder where other files would stay among the images of this draw and be scored with them.

    Raises:
        UserError: names the folder and the first such file.
    """
    written = {image_name(number) for number in range(n)}
    if other := min((path.name for path in folder.glob("[!.]*") if path.name not in written), default=None):
        raise UserError(
            f"{folder} holds images of another draw that n={n} would not write over, {other} the first: remove them "
            f"or choose another folder, output=DIR."
        )


def chosen(sampler: Sampler, n: int, label: int | None) -> tuple[Tensor, Tensor]:
    """Latent vectors and labels of n samples, [n, z_dim] and [n]: the first are the same whatever n is."""
    G, generator, classes = sampler.G, sampler.generator, sampler.n_classes or 1
    blocks = [
        (G.draw(BLOCK, generator), torch.randint(classes, (BLOCK,), generator=generator)) for _ in range(0, n, BLOCK)
    ]
    z, y = (torch.cat(parts)[:n] for parts in zip(*blocks, strict=True))
    if label is not None:
        sampler.require(label)
        y.fill_(label)
    return z, y.to(z.device)


def interpolation(sampler: Sampler, rows: int, steps: int, label: int = 0) -> Tensor:
    """Samples [rows * steps, ...] on straight lines between pairs of latent vectors. Radford et al. 2016, Figure 4."""
    start, end = sampler.G.draw(2 * rows, sampler.generator).chunk(2)
    share = torch.linspace(0, 1, steps, device=start.device)[None, :, None]
    z = torch.lerp(start[:, None], end[:, None], share).flatten(0, 1)
    return sampler.generate(z, torch.full((len(z),), label, device=z.device)).cpu()


def array(source: Source, samples: Tensor) -> np.ndarray:
    """Images as uint8 [n, height, width, channels], text as strings [n], points as they are."""
    lines = source.lines(samples)
    return pixels(samples) if samples.dim() == 4 else samples.numpy() if lines is None else np.array(lines)


def pixels(samples: Tensor) -> np.ndarray:
    """Images as uint8 [n, height, width, channels]."""
    return to_uint8(samples).permute(0, 2, 3, 1).numpy()


def save_images(samples: Tensor, folder: Path) -> None:
    """Writes one PNG file for each image, numbered, grey ones as grey files; nothing for points."""
    if samples.dim() == 4:
        for number, image in enumerate(pixels(samples)):
            with replacing(folder / image_name(number), durable=False) as temporary:
                picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
                picture.save(temporary, format="PNG")


def image_name(number: int) -> str:
    """The name of the file of a single image."""
    return f"{number:05d}.png"
