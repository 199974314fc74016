"""`python -m lit_gan.sample`: files of samples as PNG images and grids, text, or npz."""

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
from lit_gan.records.directory import load_config
from lit_gan.records.files import replacing
from lit_gan.records.results import Results
from lit_gan.sampling import Sampler, class_number, latents_and_labels
from lit_gan.settings import SAMPLE, check_config
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_generator

MOST_IN_GRID = 256
"""The most samples in a grid."""

SINGLES = "images"
"""The folder, below the output, of nothing but the single images: what tools that score folders are
pointed at."""


def sample(config: DictConfig) -> None:
    """Writes samples of a run, as conf/sample.yaml describes; the same seed gives the same samples.

    Raises:
        UserError: something that the user can put right.
    """
    directory = chosen_run(config)
    check_config(config, SAMPLE)
    device = choose_device(config.device)
    trained = load_config(directory)
    G, update = load_generator(trained, directory, config.checkpoint, config.ema)
    source = moved_source(config, trained)
    names = class_names_of(directory, source, config["class"])
    label = None if config["class"] is None else class_number(config["class"], names)
    output = Path(config.output)
    check_output(output, config)

    G = G.to(device)
    sampler = Sampler(G, config.seed, config.batch_norm, config.truncation)
    samples = draw_samples(sampler, config.n, label, config.batch_size)
    output.mkdir(parents=True, exist_ok=True)
    save_samples(samples, sampler.restart(), source, config, names)
    if config.interpolations:
        rows = interpolation(sampler.restart(), config.interpolations, config.steps, label or 0)
        render(source, rows, config.steps).save(output / "interpolation")
    if config.npz:
        save_array(as_array(source, samples), output / "samples.npz")
    of_class = "" if label is None else f"of class {label}{f', {names[label]},' if names else ''} "
    print(f"{config.n} samples {of_class}of update {update} in {output}")


def class_names_of(directory: Path, source: Source, wanted: int | str | None) -> Sequence[str] | None:
    """The names of a run's classes by their numbers, None if they have no names.

    A run from before names were recorded has those of its data, which are looked at only where a
    name is asked for.
    """
    names = Results(directory).content.get("class_names")
    return source.class_names if names is None and isinstance(wanted, str) else names


def check_output(output: Path, config: DictConfig) -> None:
    """Refuses a folder where files of another draw would stay among the new ones, or beside them.

    Raises:
        UserError: names the first such file.
    """
    check_room(output / SINGLES, config.n)
    kept = ([] if config.npz else ["samples.npz"]) + ([] if config.interpolations else ["interpolation.*"])
    if other := next((path for name in kept for path in sorted(output.glob(name))), None):
        raise UserError(
            f"{other} is of an earlier draw and would stay beside the new samples: remove it, have it written anew "
            f"(npz=true, interpolations=8), or choose another folder, output=DIR."
        )


def check_room(folder: Path, n: int) -> None:
    """Refuses a folder where other files would stay among the n new images and be scored with them.

    Raises:
        UserError: names the folder and the first such file.
    """
    own = {image_name(number) for number in range(n)}
    if other := min((path.name for path in folder.glob("[!.]*") if path.name not in own), default=None):
        raise UserError(
            f"{folder} holds images of another draw that n={n} would not write over, {other} the first: remove them "
            f"or choose another folder, output=DIR."
        )


def draw_samples(sampler: Sampler, n: int, label: int | None, batch_size: int) -> Tensor:
    """n samples of all classes or of one, [n, *shape] on the CPU; the first ones are the same
    whatever n is: in whole batches, because G may normalise by those, and then cut."""
    whole = -(-n // batch_size) * batch_size if sampler.by_batch else n
    return sampler.generate_all(*latents_and_labels(sampler, whole, label), batch_size)[:n]


def save_samples(
    samples: Tensor, sampler: Sampler, source: Source, config: DictConfig, names: Sequence[str] | None
) -> None:
    """Saves texts as one page, and other samples as a grid and as single images."""
    output = Path(config.output)
    if source.lines(samples[:1]) is not None:
        render(source, samples).save(output / "samples")
        return
    overview(samples, sampler, source, config, names).save(output / "grid")
    save_images(samples, output / SINGLES)


def overview(
    samples: Tensor, sampler: Sampler, source: Source, config: DictConfig, names: Sequence[str] | None
) -> Picture | Page:
    """A grid of the samples; where they are of all classes, a grid of new ones with a row for each
    class."""
    if sampler.n_classes is None or config["class"] is not None:
        return render(source, samples[:MOST_IN_GRID])
    return render(source, *sampler.grid(min(config.n, MOST_IN_GRID)), names)


def interpolation(sampler: Sampler, rows: int, steps: int, label: int = 0) -> Tensor:
    """Samples [rows * steps, ...] on straight lines between pairs of latent vectors. Radford et al.
    2016, Figure 4."""
    z = points_between(*sampler.vectors(2 * rows).chunk(2), steps)
    return sampler.generate_all(z, torch.full((len(z),), label))


def points_between(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Latent vectors [rows * steps, z_dim] at equal distances on the straight lines that lead from
    the rows of `start` to those of `end`, both included."""
    share = torch.linspace(0, 1, steps, device=start.device)[None, :, None]
    return torch.lerp(start[:, None], end[:, None], share).flatten(0, 1)


def save_images(samples: Tensor, folder: Path) -> None:
    """Writes one PNG file for each image, numbered, grey ones as grey files; nothing for points."""
    if samples.dim() == 4:
        for number, image in enumerate(as_image_array(samples)):
            with replacing(folder / image_name(number), durable=False) as temporary:
                picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
                picture.save(temporary, format="PNG")


def image_name(number: int) -> str:
    """The name of the file of a single image."""
    return f"{number:05d}.png"


def save_array(array: np.ndarray, path: Path) -> None:
    """Writes an npz file with one array, as the usual tools for FID read it.

    Raises:
        Unwritable: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, array)


def as_array(source: Source, samples: Tensor) -> np.ndarray:
    """Images as uint8 [n, height, width, channels], text as strings [n], points as they are."""
    if samples.dim() == 4:
        return as_image_array(samples)
    lines = source.lines(samples)
    return samples.numpy() if lines is None else np.array(lines)


def as_image_array(samples: Tensor) -> np.ndarray:
    """Images as uint8 [n, height, width, channels]."""
    return to_uint8(samples).permute(0, 2, 3, 1).numpy()
