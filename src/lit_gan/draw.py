"""Files of samples: PNG images, grids, npz."""

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from lit_gan.build import choose_device
from lit_gan.data import to_uint8
from lit_gan.pictures import picture, save_picture
from lit_gan.run_directory import chosen_run, load_config, load_gan
from lit_gan.sampling import Sampler
from lit_gan.settings import SAMPLE, check_settings

GRID = 256


def draw(config: DictConfig) -> None:
    """Everything that conf/sample.yaml describes; the same seed gives the same images."""
    directory = chosen_run(config)
    check_settings(config, SAMPLE)
    device = choose_device(config.device)
    gan, update = load_gan(load_config(directory), directory, config.checkpoint)
    sampler = Sampler(gan.sampler(config.ema).to(device), config.seed)
    samples = torch.cat([sampler(n).cpu() for n in batches(config.n, config.batch_size)])
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    save_picture(picture(samples[:GRID]), output / "grid.png")
    if config.interpolations:
        rows = interpolation(sampler, config.interpolations, config.steps)
        save_picture(picture(rows, columns=config.steps), output / "interpolation.png")
    if samples.dim() == 4:
        save_images(samples, output)
    if config.npz:
        array = to_uint8(samples).permute(0, 2, 3, 1) if samples.dim() == 4 else samples
        np.savez(output / "samples.npz", array.numpy())
    print(f"{config.n} samples of update {update} in {output}")


def batches(n: int, size: int) -> list[int]:
    """n cut into numbers of at most `size`."""
    return [min(size, n - start) for start in range(0, n, size)]


def interpolation(sampler: Sampler, rows: int, steps: int) -> Tensor:
    """Samples [rows * steps, ...] on straight lines between pairs of latent vectors. Radford et al. 2016, Figure 4."""
    start, end = sampler.G.draw(2 * rows, sampler.generator).chunk(2)
    share = torch.linspace(0, 1, steps, device=start.device)[None, :, None]
    z = torch.lerp(start[:, None], end[:, None], share).flatten(0, 1)
    return sampler.generate(z, torch.zeros(len(z), dtype=torch.long, device=z.device)).cpu()


def save_images(samples: Tensor, output: Path) -> None:
    """One PNG file for each sample, numbered; grey samples as grey files."""
    from PIL import Image

    for number, image in enumerate(to_uint8(samples).permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(output / f"{number:05d}.png")
