"""From a config to objects: which group of the config becomes what. Read this for the table of contents of a run."""

from dataclasses import replace

import torch
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from lit_gan.data import GANData, Source
from lit_gan.errors import UserError
from lit_gan.metrics import Protocol
from lit_gan.module import GAN


def build_gan(config: DictConfig) -> GAN:
    """The game, its weights drawn from `seed`.

    Raises:
        UserError: a number that no game can be played with.
    """
    check_numbers(config)
    seed_everything(config.seed, workers=True, verbose=False)
    return GAN(
        G=instantiate(config.model.G),
        D=instantiate(config.model.D),
        loss=instantiate(config.loss),
        regs={name: instantiate(reg) for name, reg in config.reg.items()},
        optim=instantiate(config.optim),
        g_batch_size=config.g_batch_size,
        ema=config.ema,
    )


def check_numbers(config: DictConfig) -> None:
    """Refuses lengths and sizes below 1, and a decay of the moving average outside [0, 1).

    Raises:
        UserError: names the setting.
    """
    for name in ("updates", "updates_per_epoch", "batch_size", "g_batch_size", "trainer.log_every_n_steps"):
        value = OmegaConf.select(config, name)
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise UserError(f"{name}={value} must be a whole number, 1 or more.")
    if config.ema is not None and not 0 <= config.ema < 1:
        raise UserError(f"ema={config.ema} must be at least 0 and below 1, such as 0.999, or null for none.")


def build_data(config: DictConfig, source: Source) -> GANData:
    """The endless stream of real images."""
    return GANData(
        source,
        images_per_update=config.batch_size * config.optim.n_dis,
        seed=config.seed,
        dequantize=config.dequantize,
        num_workers=config.workers,
        device_memory=int(config.device_memory),
    )


def build_source(config: DictConfig) -> Source:
    """The data set."""
    return instantiate(config.data)


def build_protocol(config: DictConfig, name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        UserError: no protocol of that name was selected.
    """
    if name not in config.protocol:
        known = ", ".join(config.protocol)
        raise UserError(f"There is no protocol '{name}': there are {known}, and protocol=[{known},MINE] adds one.")
    return Protocol(**OmegaConf.to_container(config.protocol[name], resolve=True))


def with_generated(protocol: Protocol, n: int) -> Protocol:
    """A protocol with n generated images for every score."""
    return replace(protocol, generated=n, inception_score=n)


def choose_device(name: str) -> torch.device:
    """A torch device; "auto" is the GPU if there is one.

    Raises:
        UserError: torch does not know it, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} cannot be used here: choose auto, cpu or cuda.") from error
