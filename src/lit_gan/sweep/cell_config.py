"""`cell.json`: the config of a cell as its sweep composed it, so that a config file changed later
changes no cell."""

import json
import os
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict

from lit_gan.records import search_path
from lit_gan.records.files import read_json, write_text
from lit_gan.records.layout import config_folder
from lit_gan.sweep.plan import REWRITTEN

CELL = "LIT_GAN_CELL"
"""The variable that tells a cell's own process which directory holds its config."""

ONLY_FOR_HELP = ("help", "hydra_help")
"""Hydra's settings that a cell does not need, and that are long."""


def cell_config_path(directory: Path) -> Path:
    """The file that holds a cell's config, Hydra's part included."""
    return config_folder(directory) / "cell.json"


def as_container(config: DictConfig) -> dict[str, Any]:
    """A config as plain dicts and lists; interpolations and what is missing stay as they are."""
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)


def write_cell_config(config: DictConfig, hydra: DictConfig, directory: Path) -> None:
    """Keeps the config of a cell for its own process, which runs alone and shows no progress bar.

    Args:
        config: of the cell, without Hydra's part.
        hydra: Hydra's part.
        directory: of the cell.
    """
    needed = {name: value for name, value in as_container(hydra).items() if name not in ONLY_FOR_HELP}
    job = OmegaConf.create(as_container(config) | {"hydra": needed})
    with open_dict(job):
        job.hydra.update(mode="RUN", run={"dir": str(directory)})
        job.hydra.runtime.output_dir = str(directory.absolute())
        job.hydra.overrides.task = [*job.hydra.overrides.task, "trainer.enable_progress_bar=false"]
        job.trainer.enable_progress_bar = False
    write_text(cell_config_path(directory), json.dumps(as_container(job), indent=1) + "\n")


def cell_config_bytes(directory: Path) -> bytes | None:
    """The content of a cell's file; None if there is no file."""
    path = cell_config_path(directory)
    return path.read_bytes() if path.exists() else None


def restore_cell_config(content: bytes | None, directory: Path) -> None:
    """Puts a cell's file back as it was; None if it did not exist."""
    if content is None:
        cell_config_path(directory).unlink()
    else:
        write_text(cell_config_path(directory), content.decode())


def read_cell_config(directory: Path) -> DictConfig | None:
    """The config of a cell, Hydra's part included; None if it was never planned.

    Raises:
        Damaged: the file cannot be read.
    """
    path = cell_config_path(directory)
    return OmegaConf.create(read_json(path, set(), REWRITTEN)) if path.exists() else None


def config_of_own_cell() -> DictConfig | None:
    """In a cell's own process, its config, after Hydra's part of it has taken effect; None in any
    other process."""
    if CELL not in os.environ:
        return None
    config = read_cell_config(Path(os.environ[CELL]))
    setup_globals()
    with open_dict(config):
        # Hydra itself adds keys to its schema, which a structured config would refuse
        schema = OmegaConf.structured(HydraConf, flags={"struct": False})
        config.hydra = OmegaConf.merge(schema, config.hydra)
        HydraConfig.instance().set_config(config)
        configure_log(config.hydra.job_logging, config.hydra.verbose)
        own = search_path.SearchPath(tuple(search_path.named_places(config.hydra.runtime.config_sources)))
        search_path.find_modules(own.module_folders)
        del config["hydra"]
    return config
