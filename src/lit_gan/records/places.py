"""Where the files lie that a run reads: stored in full, so that it can be gone on with from any folder."""

import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError
from lit_gan.overrides import key, parse, quoted

PLACES = (
    *("data.root", "data.file", "data.dataset.packaged", "data.base.root", "data.base.dataset.packaged"),
    "metrics.weights",
)
"""The settings of a training that are files or folders to read."""


def expanded(name: str, path: str) -> str:
    """A path with the home directory that it begins with, as in `run=~/x` and `output=~user/x`.

    Args:
        name: the setting that the path is given for.

    Raises:
        UserError: nobody has that name.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        user = path.split("/")[0]
        raise UserError(
            f"{name}={path}: there is no home directory {user} on this machine, so write the whole path, {name}=/..."
        ) from error


def absolute(name: str, path: str | os.PathLike) -> str:
    """A path in full, from the present folder on.

    Raises:
        UserError: as `expanded`.
    """
    return os.path.abspath(expanded(name, str(path)))


def in_full(setting: str) -> str:
    """A setting that names files to read, with their whole path; several values to sweep over stay as they are.

    Raises:
        UserError: as `absolute`.
    """
    override = parse(setting) if key(setting) in PLACES and not setting.startswith("~") else None
    path = override.value() if override and not override.is_sweep_override() else None
    if path in (None, "") or "${" in str(path):
        return setting
    name = setting.partition("=")[0]
    return f"{name}={quoted(absolute(key(setting), str(path)))}"


def settle(config: DictConfig) -> None:
    """Writes the places of a config in full.

    Raises:
        UserError: as `expanded`.
    """
    for name in PLACES:
        if isinstance(path := OmegaConf.select(config, name), str):
            OmegaConf.update(config, name, absolute(name, path))


def stay(old: DictConfig, new: DictConfig, typed: set[str]) -> None:
    """Leaves the data of a run where they were when it is gone on with, unless they are no longer there.

    Args:
        typed: the settings on the command line, which decide.
    """
    for name in PLACES:
        before = OmegaConf.select(old, name)
        if isinstance(before, str) and name not in typed and os.path.isabs(before) and os.path.exists(before):
            OmegaConf.update(new, name, before)


def follow_environment(config: DictConfig) -> None:
    """Looks for the data sets of a run in LIT_GAN_DATA where that is set and they are no longer where they were."""
    place = os.environ.get("LIT_GAN_DATA")
    for name in ("data", "data.base"):
        downloaded = OmegaConf.select(config, f"{name}.download") is not None
        if place and downloaded and not os.path.exists(str(OmegaConf.select(config, f"{name}.root"))):
            OmegaConf.update(config, f"{name}.root", absolute("LIT_GAN_DATA", place))
