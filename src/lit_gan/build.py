"""From a config to objects: the table of contents of a run, which says what each group of the
config becomes."""

import copy
import logging
import re
from typing import Any

import torch
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.data import GANData, Source
from lit_gan.errors import UserError, written
from lit_gan.game import Discriminator, Generator, Loss, Regularizer
from lit_gan.metrics import EvalProtocol
from lit_gan.module import GAN
from lit_gan.optim import Optimizers
from lit_gan.order import Order
from lit_gan.parts import build_part, locate_if_there, selected
from lit_gan.records.resume import AUTO
from lit_gan.settings import TRAIN, check_arguments, check_config
from lit_gan.system.float32 import use_tf32

log = logging.getLogger("lit_gan")


def check_training(config: DictConfig) -> None:
    """Refuses the settings of a training that can be refused before anything is loaded.

    Raises:
        UserError: names the first such setting.
    """
    check_config(config, TRAIN)
    for name in config.protocol:
        build_protocol(config, name)


def build_gan(config: DictConfig) -> GAN:
    """The game, its weights drawn from `seed`.

    The settings must have been checked.

    Raises:
        UserError: a class refuses one of its arguments.
    """
    seed_everything(config.seed, workers=True, verbose=False)
    gan = GAN(
        G=build_part(config.model.G, Generator),
        D=build_part(config.model.D, Discriminator),
        loss=build_part(config.loss, Loss),
        regs={name: build_part(config.reg[name], Regularizer) for name in selected(config.reg)},
        optim=build_part(config.optim, Optimizers),
        order=build_part(config.order, Order),
        g_batch_size=config.g_batch_size,
        ema=config.ema,
        ema_start=OmegaConf.select(config, "ema_start"),
        channels_last=OmegaConf.select(config, "channels_last", default=True),
        compiles=OmegaConf.select(config, "compile", default=False),
    )
    if gan.G_ema is not None:
        gan.G_ema.annealed = annealed_average(config)
    return gan


def annealed_average(config: DictConfig) -> dict[str, Any] | None:
    """What `callbacks.annealing` makes of the moving average, for the records: the first and the
    last half-life, and the updates from one to the other; None where the decay stays."""
    annealing = OmegaConf.select(config, "callbacks.annealing")
    if not annealing or "_target_" not in annealing or annealing.get("half_life") is None:
        return None
    return {"half_life": list(annealing.half_life), "updates": annealing.updates}


def build_generator(config: DictConfig, regs: list[str]) -> Generator:
    """The generator alone, as these regularizers change it; the loss and all other regularizers are
    not imported.

    Args:
        regs: the names of the regularizers that change G's modules.
    """
    G = build_part(config.model.G, Generator)
    if regs:
        D = build_part(config.model.D, Discriminator)
        for name in regs:
            build_part(config.reg[name]).attach(G, D)
    return G


def build_data(config: DictConfig, source: Source) -> GANData:
    """The endless stream of real samples, cut into batches for one generator update each."""
    return GANData(
        source,
        images_per_update=config.batch_size * config.optim.n_dis,
        seed=config.seed,
        flips=OmegaConf.select(config, "flips", default=False),
        dequantize=config.dequantize,
        num_workers=config.workers,
        device_memory=int(config.device_memory),
        train_images=OmegaConf.select(config, "train_images"),
    )


def build_source(config: DictConfig) -> Source:
    """The data set: real samples, with what is known of them."""
    return build_part(config.data, Source)


def complete_data(config: DictConfig) -> None:
    """Puts what a data set is found to be in place of each "auto" in its config, and logs it.

    Raises:
        UserError: the data cannot be read, or differ among themselves.
    """
    until_then = getattr(locate_if_there(config.data.get("_target_")), "before_found", Source.before_found)
    wanted = [name for name in until_then if config.data.get(name) == AUTO]
    if not wanted:
        return
    apart = copy.deepcopy(config)  # making a part of it fills in the interpolations for good
    apart.data.update({name: until_then[name] for name in wanted})
    source = build_source(apart)
    found = source.found(wanted)
    config.data.update(found)
    words = " ".join(f"data.{name}={written(value)}" for name, value in found.items())
    log.info("data=%s: found %s", source.name, words)


def complete_metrics(config: DictConfig) -> None:
    """Puts the suite that fits the data in place of both of metrics=auto, and logs it where it is
    that of data without labels.

    The settings of other metrics, and none at all, are left as they are.
    """
    if "without_labels" not in (config.get("metrics") or {}):
        return
    with open_dict(config):
        other = config.metrics.pop("without_labels")
    if config.data.get("n_classes", ...) not in (None, 1) or len(config.data.get("shape", ())) != 3:
        return
    extractor = build_part(other).extractor
    command = extractor.lacking()
    why = f"because the data have no labels of two classes (data.n_classes={written(config.data.n_classes)})"
    config.metrics.suite = None if command else other
    if command:
        log.warning("metrics=auto: no scores, %s; for those of %s: %s", why, extractor.name, command)
    else:
        log.info("metrics=auto: %s, %s", extractor.name, why)


def build_protocol(config: DictConfig, name: str, setting: str = "protocol") -> EvalProtocol:
    """A protocol by its name.

    Args:
        setting: what names it, "metrics.during".

    Raises:
        UserError: no protocol of that name was selected, it has another name, or it is incomplete or
            impossible.
    """
    if not isinstance(name, str) or name not in config.protocol:
        known = ", ".join(config.protocol) or "none"
        raise UserError(
            f"{setting}={written(name)}: there is no protocol '{written(name)}': there are {known}, and "
            f"protocol=[quick,full,MINE] adds one."
        )
    if (called := config.protocol[name].get("name", name)) != name:
        raise UserError(
            f"protocol.{name}.name={written(called)} must be {name}, by which its scores are told from those of "
            f"other protocols: correct it in the file of that protocol."
        )
    check_arguments(config.protocol[name], EvalProtocol)
    try:
        return EvalProtocol(**OmegaConf.to_container(config.protocol[name], resolve=True))
    except TypeError as error:
        raise UserError(f"protocol.{name} is no protocol: {error}; conf/protocol/quick.yaml has all keys.") from error


def choose_device(name: str) -> torch.device:
    """A torch device; "auto" is the GPU if there is one, where float32 is as exact as on a CPU from
    here on.

    Raises:
        UserError: torch does not know it, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    use_tf32(False)
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} cannot be used here{other_devices(name)}.") from error


def other_devices(name: str) -> str:
    """The end of a sentence about a device that cannot be used: why, and the devices that can."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not gpus:
        return f"{', for there is no CUDA GPU' if re.fullmatch('cuda(:[0-9]+)?', name) else ''}: choose auto or cpu"
    return f": choose auto, cpu or cuda, of which the last is cuda:{gpus - 1}"
