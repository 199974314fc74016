"""A run's directory: what is written into it at the start, and how a trained GAN comes out of it again."""

import functools
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.errors import UserError, written
from lit_gan.overrides import key
from lit_gan.records import places, search_path
from lit_gan.records.branch import check_branch, parent_of
from lit_gan.records.difference import first_difference
from lit_gan.records.files import remove_leftovers
from lit_gan.records.lock import sole_use
from lit_gan.records.places import in_full
from lit_gan.records.yaml_file import read_yaml

GAME = (
    "model",
    "loss",
    "reg",
    "optim",
    "order",
    "ema",
    "ema_start",
    "batch_size",
    "g_batch_size",
    "seed",
    "dequantize",
    "trainer.precision",
)
GAME += ("data",)
"""What a resume must not change."""

MOVABLE = ("root", "file", "download", "remedy", "in_memory", "on_broken")
"""What of `data` it may: where they lie and how they are read."""

GROUPS = ("model.G", "model.D", "loss", "reg", "optim", "data", "metrics", "protocol", "trainer")
"""Without these a config is none of a run."""


@contextmanager
def open_run(config: DictConfig, directory: Path) -> Iterator[Path | None]:
    """Holds a directory for a run of this process alone; gives the checkpoint to go on from, if there is one.

    For a branch that has not begun, that is its parent's.

    Raises:
        UserError: a setting is impossible, a folder cannot be written, another process trains there, or there is a run
            of another game.
    """
    places.settle(config)
    for folder in (directory, *(directory / name for name in (".hydra", "checkpoints", "samples"))):
        check_writable(folder)
    with sole_use(directory):
        checkpoint, parent = directory / "checkpoints" / "last.ckpt", parent_of(config, directory)
        path = directory / ".hydra" / "config.yaml"
        if parent is not None and not path.exists():
            checkpoint = find_checkpoint(parent, "last")
            check_branch(parent, read_config(parent / ".hydra" / "config.yaml"), config)
        elif checkpoint.exists():
            old = read_config(path)
            typed = {key(override) for override in HydraConfig.get().overrides.task}
            drop_later_settings(old, config, typed)
            places.stay(old, config, typed)
            places.settle(old)
            check_same_game(old, config, directory)
        yield checkpoint if checkpoint.exists() else None


def check_writable(folder: Path) -> None:
    """Refuses, before any work is done for it, a folder that is there and takes no files.

    Raises:
        UserError: names it.
    """
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder} cannot be written: change its permissions, or choose another directory (hydra.run.dir=DIR for a "
            f"new run, a copy for an old one)."
        )


def drop_later_settings(old: DictConfig, new: DictConfig, typed: set[str]) -> None:
    """Takes out of a config the settings of its data that there were not yet when the run was made.

    The data set's class has a default for each, which is what was done before. One that the command line names stays,
    to be refused where it makes another game.

    Args:
        typed: the settings on the command line.
    """
    if old.data.get("_target_") != new.data.get("_target_"):
        return
    with open_dict(new):
        for name in new.data.keys() - old.data.keys():
            if f"data.{name}" not in typed:
                del new.data[name]


def check_same_game(old: DictConfig, new: DictConfig, directory: Path) -> None:
    """Refuses to resume what is another experiment.

    Raises:
        UserError: names the first setting that differs, and both values.
    """
    if changed := first_difference(unplaced(old), unplaced(new), GAME):
        name, before, now = changed
        raise UserError(
            f"The run in {directory} was made with {name}={before}, not with {name}={now}: resume it without changing "
            f"that, start a new run in another directory, or begin one in this run's state with resume={directory} "
            f"hydra.run.dir=NEW."
        )


def unplaced(config: DictConfig) -> DictConfig:
    """A config without `MOVABLE`."""
    config = OmegaConf.create(OmegaConf.to_container(config))
    for data in (config.data, config.data.get("base") or {}):
        for name in MOVABLE:
            data.pop(name, None)
    return config


def config_files(config: DictConfig, folder: Path) -> dict[Path, str]:
    """The texts of Hydra's own three files, of where own code lies, and of the run's identity, which a resume keeps."""
    hydra = HydraConfig.get()
    contents = {
        "config.yaml": config,
        "hydra.yaml": OmegaConf.create({"hydra": OmegaConf.masked_copy(hydra, list(hydra))}),
        "overrides.yaml": [in_full(each) for each in hydra.overrides.task if not each.startswith("resume=")],
        search_path.RECORD: search_path.present(config).record(),
    }
    texts = {folder / name: OmegaConf.to_yaml(content) for name, content in contents.items()}
    return texts | {folder / "run_id": identity(folder.parent) + "\n"}


def identity(directory: Path) -> str:
    """The identity of the run in a directory, eight letters and digits, which it keeps when it is resumed."""
    path = directory / ".hydra" / "run_id"
    return path.read_text(encoding="utf-8").strip() if path.exists() else new_identity(path)


@functools.cache
def new_identity(path: Path) -> str:
    """The identity that a run will have, which is written when it begins."""
    return uuid.uuid4().hex[:8]


@rank_zero_only
def tidy(directory: Path) -> None:
    """Removes what killed processes have left unfinished in a run directory; the first process does it for all."""
    for folder in (directory, *(directory / name for name in (".hydra", "checkpoints", "samples"))):
        remove_leftovers(folder)


def chosen_run(config: DictConfig) -> Path:
    """The run directory that the setting `run` names.

    Raises:
        UserError: it names none.
    """
    run = OmegaConf.select(config, "run")
    if run in (None, ""):
        raise UserError("run=DIR is missing: name the directory of a finished or stopped run.")
    return Path(str(run))


def load_config(directory: Path) -> DictConfig:
    """The config of a run.

    Raises:
        UserError: the directory holds none, or a damaged one.
    """
    path = directory / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"run={directory} is no run directory: there is no {path}, which every run writes.")
    search_path.find_modules_of(directory)
    config = read_config(path)
    places.follow_environment(config)
    return config


def read_config(path: Path) -> DictConfig:
    """The config that a run wrote.

    Raises:
        UserError: it is damaged.
    """
    config = read_yaml(path, DictConfig)
    missing = [name for name in GROUPS if not isinstance(OmegaConf.select(config, name), DictConfig)]
    if missing:
        raise UserError(f"{path} is damaged ({', '.join(missing)} missing): restore the file, or start a new run.")
    return config


def find_checkpoint(directory: Path, name: str) -> Path:
    """The path of a run's checkpoint.

    Raises:
        UserError: there is no such checkpoint.
    """
    path = directory / "checkpoints" / f"{name}.ckpt"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.ckpt"))) or "none yet"
        raise UserError(f"checkpoint={written(name)}: there is no {path}; the checkpoints of this run: {there}.")
    return path
