"""A run's directory: how it is opened for a training, what is written at its start, and how it is
read again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, written
from lit_gan.overrides import override_key
from lit_gan.records import search_path
from lit_gan.records.branch import check_init, check_optimizers, parent_of
from lit_gan.records.files import Damaged, read_yaml, remove_leftovers
from lit_gan.records.layout import checkpoint_path, checkpoints_folder, config_folder, config_path, samples_folder
from lit_gan.records.lock import sole_use
from lit_gan.records.paths import find_moved_data, make_paths_absolute, no_run, path_settings, with_whole_path
from lit_gan.records.resume import check_resume, drop_earlier_settings, keep_found
from lit_gan.records.run_id import run_id_of, run_id_path

REQUIRED_GROUPS = ("model.G", "model.D", "loss", "reg", "optim", "data", "metrics", "protocol", "trainer")
"""Groups that every run's config has: a config without one of them is damaged."""


@contextmanager
def open_run(config: DictConfig, directory: Path) -> Iterator[Path | None]:
    """Holds a directory for a run of this process alone, and gives the checkpoint that its training
    starts from.

    Raises:
        UserError: a setting is impossible, a folder cannot be written, another process trains
            there, or the directory holds a run of another game.
    """
    make_paths_absolute(config)
    for folder in folders_of(directory):
        check_writable(folder)
    with sole_use(directory):
        yield starting_checkpoint(config, directory)


def starting_checkpoint(config: DictConfig, directory: Path) -> Path | None:
    """The last checkpoint of a run that is resumed, the parent's of a branch that begins, None of a
    new run.

    Raises:
        UserError: as `open_run`.
    """
    parent = parent_of(config, directory)
    if parent is not None and not config_path(directory).exists():
        checkpoint, of_parent = find_checkpoint(parent, "last"), recorded_config(parent)
        keep_found(of_parent, config)
        check_init(parent, of_parent, config)
        check_optimizers(parent, of_parent, config)
        return checkpoint
    checkpoint = checkpoint_path(directory)
    if not checkpoint.exists():
        return None
    typed = {override_key(override) for override in HydraConfig.get().overrides.task}
    check_resume(recorded_config(directory), config, typed, directory)
    return checkpoint


def folders_of(directory: Path) -> list[Path]:
    """The folders that a training writes to."""
    return [directory, *(folder(directory) for folder in (config_folder, checkpoints_folder, samples_folder))]


def check_writable(folder: Path) -> None:
    """Refuses, before any work is done for it, a folder that exists and takes no files.

    Raises:
        UserError: names it.
    """
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder} cannot be written: change its permissions, or choose another directory (hydra.run.dir=DIR for a "
            f"new run, a copy for an old one)."
        )


def config_texts(config: DictConfig, directory: Path) -> dict[Path, str]:
    """The texts of the files below `.hydra`, by their paths.

    They are Hydra's own three files, the places of the user's configs and classes, and the run's
    identity.
    """
    hydra, paths = HydraConfig.get(), path_settings(config)
    task = [with_whole_path(each, paths) for each in hydra.overrides.task if not each.startswith("resume=")]
    contents = {
        "config.yaml": config,
        "hydra.yaml": OmegaConf.create({"hydra": OmegaConf.masked_copy(hydra, list(hydra))}),
        "overrides.yaml": task,
        search_path.FILE_NAME: search_path.current_search_path(config).as_config(),
    }
    texts = {config_folder(directory) / name: OmegaConf.to_yaml(content) for name, content in contents.items()}
    return texts | {run_id_path(directory): run_id_of(directory) + "\n"}


@rank_zero_only
def set_aside_old_checkpoints(directory: Path) -> None:
    """Puts checkpoints that Lightning's own requeuing has left, in earlier versions, among the
    others.

    Where they were, Lightning would silently go on from one of them, with a `metrics.csv` that
    begins in the middle.
    """
    for path in directory.glob("hpc_ckpt_*.ckpt"):
        checkpoints_folder(directory).mkdir(exist_ok=True)
        path.rename(checkpoints_folder(directory) / path.name)


@rank_zero_only
def remove_unfinished_files(directory: Path) -> None:
    """Removes the unfinished files of killed processes from a run directory; the first process does
    it for all."""
    for folder in folders_of(directory):
        remove_leftovers(folder)


def load_config(directory: Path) -> DictConfig:
    """The config of a run, with its data where they are now, and its own classes on Python's path.

    Raises:
        UserError: the directory holds no config, or a damaged one, or this process has other modules of the
            same names as its classes lie in.
    """
    path = config_path(directory)
    if not path.is_file():
        raise no_run("run", directory, path)
    search_path.find_modules_of(directory)
    config = recorded_config(directory)
    search_path.check_modules(directory, config)
    find_moved_data(config)
    return config


def recorded_config(directory: Path) -> DictConfig:
    """The config of a run as it was written, without settings that are none any more.

    Raises:
        Damaged: the file cannot be read, or a group is missing.
    """
    path = config_path(directory)
    config = read_yaml(path, DictConfig)
    missing = [name for name in REQUIRED_GROUPS if not isinstance(OmegaConf.select(config, name), DictConfig)]
    if missing:
        raise Damaged(path, f"{', '.join(missing)} missing", "restore the file, or start a new run")
    drop_earlier_settings(config)
    return config


def find_checkpoint(directory: Path, name: str) -> Path:
    """The path of a run's checkpoint.

    Raises:
        UserError: there is no such checkpoint.
    """
    path = checkpoint_path(directory, name)
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.ckpt"))) or "none yet"
        raise UserError(f"checkpoint={written(name)}: there is no {path}; the checkpoints of this run: {there}.")
    return path
