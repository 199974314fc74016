"""From a config to objects: the table of contents of a run, which says what each group of the config becomes."""

import importlib.util
import re
import sys
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from omegaconf import DictConfig, OmegaConf

from lit_gan.data import GANData, Source
from lit_gan.errors import UserError, one_line, written
from lit_gan.game import Generator
from lit_gan.metrics import EvalProtocol
from lit_gan.module import GAN
from lit_gan.settings import TRAIN, check_arguments, check_config


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
    return GAN(
        G=build_part(config.model.G),
        D=build_part(config.model.D),
        loss=build_part(config.loss),
        regs={name: build_part(config.reg[name]) for name in selected(config.reg)},
        optim=build_part(config.optim),
        order=build_part(config.order),
        g_batch_size=config.g_batch_size,
        ema=config.ema,
        ema_start=OmegaConf.select(config, "ema_start"),
    )


def build_generator(config: DictConfig, regs: list[str]) -> Generator:
    """The generator alone, as these regularizers change it; the loss and all other regularizers are not imported.

    Args:
        regs: the names of the regularizers that change G's modules.
    """
    G = build_part(config.model.G)
    if regs:
        D = build_part(config.model.D)
        for name in regs:
            build_part(config.reg[name]).attach(G, D)
    return G


def build_part(part: DictConfig | None) -> Any:
    """The object that a part of a config describes by its `_target_`; None for None.

    Raises:
        UserError: it cannot be imported or made; the sentence has the full key of the part, or of the part of it, that
            cannot.
    """
    try:
        return instantiate(part)
    except InstantiationException as error:
        raise UserError(impossible(error)) from error


def impossible(error: InstantiationException) -> str:
    """The sentence for a part that cannot be made: which, and why."""
    message, cause = str(error), error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    target, key = (re.search(pattern, message) for pattern in (r"target '([^']*)'", r"full_key: (\S+)"))
    key = key[1] if key else "the config"
    if "Error locating" in message:
        return f"{key}._target_={target[1]} cannot be imported: {one_line(str(cause))}, so {remedy(target[1])}."
    if isinstance(cause, UserError):
        names_it = re.search(rf"\b{key.split('.')[0]}[.=]", str(cause))
        return str(cause) if names_it else f"{key} cannot be made with its present settings: {cause}"
    return f"{key} cannot be made with its present settings: {one_line(str(cause))}, so correct the one named."


def remedy(target: str) -> str:
    """What to do about a class that cannot be imported: its module is nowhere, or holds no such class."""
    module = target.split(".")[0]
    if module in sys.modules or importlib.util.find_spec(module):
        return "correct the name"
    return f"correct the name, or say where {module}.py lies: start in its folder, or set PYTHONPATH=FOLDER"


def selected(regs: DictConfig) -> list[str]:
    """The names of the chosen regularizers.

    An experiment may hold settings for a regularizer that the command line has deselected; these name no class.
    """
    return [name for name, reg in regs.items() if "_target_" in reg]


def build_data(config: DictConfig, source: Source) -> GANData:
    """The endless stream of real samples, cut into batches for one generator update each."""
    return GANData(
        source,
        images_per_update=config.batch_size * config.optim.n_dis,
        seed=config.seed,
        dequantize=config.dequantize,
        num_workers=config.workers,
        device_memory=int(config.device_memory),
    )


def build_source(config: DictConfig) -> Source:
    """The data set: real samples, with what is known of them."""
    return build_part(config.data)


def build_protocol(config: DictConfig, name: str) -> EvalProtocol:
    """A protocol by its name.

    Raises:
        UserError: no protocol of that name was selected, or it is incomplete or impossible.
    """
    if not isinstance(name, str) or name not in config.protocol:
        known = ", ".join(config.protocol) or "none"
        raise UserError(
            f"There is no protocol '{written(name)}': there are {known}, and protocol=[quick,full,MINE] adds one."
        )
    check_arguments(config.protocol[name], EvalProtocol)
    try:
        return EvalProtocol(**OmegaConf.to_container(config.protocol[name], resolve=True))
    except TypeError as error:
        raise UserError(f"protocol.{name} is no protocol: {error}; conf/protocol/quick.yaml has all keys.") from error


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
