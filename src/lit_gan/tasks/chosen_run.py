"""The run that a command is asked about with `run=DIR`, and its data set."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lit_gan.build import build_source
from lit_gan.data import Source
from lit_gan.errors import UserError


def chosen_run(config: DictConfig) -> Path:
    """The run directory that the setting `run` names.

    Raises:
        UserError: it names none.
    """
    run = OmegaConf.select(config, "run")
    if run in (None, ""):
        raise UserError("run=DIR is missing: name the directory of a finished or stopped run.")
    return Path(str(run))


def moved_source(config: DictConfig, trained: DictConfig) -> Source:
    """The data set of a run, read from where the command line says that it lies now.

    Where it is made of another set, those are the place of that one.

    Args:
        config: of the command, whose `data.root` and `data.file` may say so.
        trained: the run's own config, which is changed.

    Raises:
        UserError: the data set has no such setting, or cannot be read.
    """
    parts = [trained.data, trained.data.get("base") or {}]
    for name, path in config.data.items():
        if path is None:
            continue
        part = next((part for part in parts if name in part), None)
        if part is None:
            places = " or ".join(f"data.{key}" for key in config.data if any(key in part for part in parts))
            advice = f"set {places} instead" if places else "leave it out, for this data set needs no files"
            raise UserError(f"data.{name}={path} is no setting of data={trained.data.name}: {advice}.")
        part[name] = path
    return build_source(trained)
