"""A trained GAN, or its generator alone, from a run's directory."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from lit_gan.build import build_gan, build_generator
from lit_gan.errors import UserError
from lit_gan.game import Generator
from lit_gan.module import GAN
from lit_gan.parts import selected
from lit_gan.records.directory import find_checkpoint


def load_gan(config: DictConfig, directory: Path, checkpoint: str = "last") -> tuple[GAN, int]:
    """The GAN of a run with the weights of `checkpoints/<checkpoint>.ckpt`, on the CPU, and its
    generator update.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    path = find_checkpoint(directory, checkpoint)
    content = read_checkpoint(path)
    gan = build_gan(config)
    load_weights(gan, content, path)
    return gan.eval(), content["global_step"]


def load_generator(config: DictConfig, directory: Path, checkpoint: str, ema: bool) -> tuple[Generator, int]:
    """The generator alone with the weights of a checkpoint, on the CPU, and its generator update.

    The code of the run's loss, which may be the user's own, need not be there.

    Args:
        ema: whether to take the weights' moving average, where the run has one.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    path = find_checkpoint(directory, checkpoint)
    content = read_checkpoint(path)
    return generator_of(config, content, ema, path), content["global_step"]


def generator_of(config: DictConfig, content: dict, ema: bool, path: Path) -> Generator:
    """The generator with the weights of the content of a checkpoint, on the CPU, in eval mode.

    Args:
        ema: as `load_generator`.
        path: of the checkpoint.

    Raises:
        UserError: they are not those of this generator.
    """
    G = build_generator(config, regs_of_generator(config, content))
    prefix = "G_ema.G." if ema and config.ema is not None else "G."
    weights = {name: value for name, value in content["state_dict"].items() if name.startswith(prefix)}
    load_state(G, {name.removeprefix(prefix): value for name, value in weights.items()}, path)
    return G.eval()


def regs_of_generator(config: DictConfig, content: dict) -> list[str]:
    """The names of the regularizers without which a run's generator cannot be built.

    Older checkpoints do not say which have changed G, so that all of them are meant.
    """
    return content.get("regs_of_G", selected(config.reg))


def load_weights(gan: GAN, content: dict, path: Path) -> None:
    """Puts a checkpoint's weights into a GAN.

    Raises:
        UserError: they are not those of this GAN.
    """
    load_state(gan, content["state_dict"], path)


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Puts the weights of a checkpoint into a network.

    Raises:
        UserError: they are not those of this network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold the weights of the networks in its run's config: it was made by another version "
            f"of lit_gan or of a network, so use that version (see results.json), or start a new run."
        ) from error


def read_checkpoint(path: Path) -> dict:
    """The content of a checkpoint; no code in it is run.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not content.keys() >= PARTS:
            raise ValueError("parts are missing")
        return content
    except OSError:
        raise
    except Exception as error:  # torch reads damaged bytes as instructions, which end in any way
        others = sorted(file.name for file in path.parent.glob("*.ckpt") if file != path)
        advice = f"copy {others[0]} over it to use that one, or " if others else ""
        raise UserError(f"{path} is damaged and cannot be read: {advice}start a new run.") from error


PARTS = {"state_dict", "global_step", "loops", "optimizer_states", "lr_schedulers", "callbacks"}
"""Keys that every checkpoint has."""
