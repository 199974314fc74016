"""A run's directory: what is written into it at the start, and how a trained GAN comes out of it again."""

import pickle
import uuid
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.build import build_gan
from lit_gan.errors import UserError
from lit_gan.module import GAN

GAME = ("model", "loss", "reg", "optim", "ema", "batch_size", "g_batch_size", "seed", "data.shape", "data._target_")


def open_run(config: DictConfig) -> tuple[Path, Path | None]:
    """Hydra's output directory, made a run directory, and the checkpoint to resume from, if there is one.

    Raises:
        UserError: a run of another game is already there.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    checkpoint = directory / "checkpoints" / "last.ckpt"
    if checkpoint.exists():
        check_same_game(OmegaConf.load(directory / ".hydra" / "config.yaml"), config, directory)
    save_config(config, directory / ".hydra")
    return directory, checkpoint if checkpoint.exists() else None


def check_same_game(old: DictConfig, new: DictConfig, directory: Path) -> None:
    """Refuses to resume what is another experiment.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    for key in GAME:
        before, now = (as_written(config, key) for config in (old, new))
        if before != now:
            name, before, now = difference(key, before, now)
            raise UserError(
                f"The run in {directory} was made with {name}={before}, not with {name}={now}: resume it without "
                f"changing that, or start a new run in another directory."
            )


def as_written(config: DictConfig, key: str) -> Any:
    """A setting with its interpolations as they stand, so that a decay until `${updates}` may end later on a resume."""
    node = OmegaConf.select(config, key)
    return OmegaConf.to_container(node) if isinstance(node, DictConfig) else node


def difference(key: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """The first leaf at which two settings differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            if before.get(name) != now.get(name):
                return difference(f"{key}.{name}", before.get(name), now.get(name))
    return key, before, now


@rank_zero_only
def save_config(config: DictConfig, folder: Path) -> None:
    """Hydra's own three files, and the run's identity, which a resume keeps."""
    folder.mkdir(parents=True, exist_ok=True)
    hydra = HydraConfig.get()
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": OmegaConf.masked_copy(hydra, list(hydra))}), folder / "hydra.yaml")
    overrides = [override for override in hydra.overrides.task if not override.startswith("resume=")]
    OmegaConf.save(OmegaConf.create(overrides), folder / "overrides.yaml")
    identity = folder / "run_id"
    if not identity.exists():
        identity.write_text(uuid.uuid4().hex[:8] + "\n")


def load_config(directory: str | Path) -> DictConfig:
    """The config of a run.

    Raises:
        UserError: the directory holds none.
    """
    path = Path(directory) / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"run={directory} is no run directory: there is no {path}, which every run writes.")
    return OmegaConf.load(path)


def load_gan(config: DictConfig, directory: str | Path, checkpoint: str = "last") -> tuple[GAN, int]:
    """The GAN of a run with the weights of `checkpoints/<checkpoint>.ckpt`, on the CPU, and its generator update.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    path = Path(directory) / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.ckpt"))) or "none yet"
        raise UserError(f"checkpoint={checkpoint}: there is no {path}; the checkpoints of this run: {there}.")
    content = read_checkpoint(path)
    gan = build_gan(config)
    load_weights(gan, content, path)
    return gan.eval(), content["global_step"]


def load_weights(gan: GAN, content: dict, path: Path) -> None:
    """Puts a checkpoint's weights into a GAN.

    Raises:
        UserError: they are not those of this GAN.
    """
    try:
        gan.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold the weights of the networks in its run's config: it was made by another version "
            f"of lit_gan or of a network, so use that version (see results.json), or start a new run."
        ) from error


def read_checkpoint(path: Path) -> dict:
    """The content of a checkpoint; executes nothing from it.

    Raises:
        UserError: it is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is damaged and cannot be read: use the other checkpoint of this run (copy best.ckpt over "
            f"last.ckpt to go on from there), or start a new run."
        ) from error
