"""The config of a cell as its sweep composed it: kept beside the cell, so that a file changed later changes no cell."""

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
from lit_gan.sweep.plan import REWRITTEN

FILE = "cell.json"
CELL = "LIT_GAN_CELL"
"""In the environment of a cell's own process: where its config is."""


def frozen(directory: Path) -> Path:
    """The file that holds a cell's config, with Hydra's part."""
    return directory / ".hydra" / FILE


def content_of(config: DictConfig) -> dict[str, Any]:
    """A config as it is written; interpolations and what is missing stay as they are."""
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)


def freeze(config: DictConfig, hydra: DictConfig, directory: Path) -> None:
    """Keeps the config of a cell for its own process, which runs alone and shows no progress bar.

    Args:
        hydra: Hydra's part of the config.
        directory: of the cell.
    """
    needed = {name: value for name, value in content_of(hydra).items() if name not in ("help", "hydra_help")}
    job = OmegaConf.create(content_of(config) | {"hydra": needed})
    with open_dict(job):
        job.hydra.update(mode="RUN", run={"dir": str(directory)})
        job.hydra.runtime.output_dir = str(directory.absolute())
        job.hydra.overrides.task = [*job.hydra.overrides.task, "trainer.enable_progress_bar=false"]
        job.trainer.enable_progress_bar = False
    write_text(frozen(directory), json.dumps(content_of(job), indent=1) + "\n")


def frozen_bytes(directory: Path) -> bytes | None:
    """The file as it is now; None if there is none."""
    path = frozen(directory)
    return path.read_bytes() if path.exists() else None


def restore(content: bytes | None, directory: Path) -> None:
    """Puts the file back as it was."""
    if content is None:
        frozen(directory).unlink()
    else:
        write_text(frozen(directory), content.decode())


def thaw(directory: Path) -> DictConfig | None:
    """The config of a cell, Hydra's part included; None if it was never planned.

    Raises:
        UserError: the file is damaged.
    """
    path = frozen(directory)
    return OmegaConf.create(read_json(path, set(), REWRITTEN)) if path.exists() else None


def job_config() -> DictConfig | None:
    """In a cell's own process: its config, after Hydra's part of it has taken effect; None in any other process."""
    if CELL not in os.environ:
        return None
    config = thaw(Path(os.environ[CELL]))
    setup_globals()
    with open_dict(config):
        schema = OmegaConf.structured(HydraConf, flags={"struct": False})  # Hydra adds keys of its own to it
        config.hydra = OmegaConf.merge(schema, config.hydra)
        HydraConfig.instance().set_config(config)
        configure_log(config.hydra.job_logging, config.hydra.verbose)
        own = search_path.SearchPath(tuple(search_path.own_configs(config.hydra.runtime.config_sources)))
        search_path.find_modules(own.module_folders)
        del config["hydra"]
    return config
