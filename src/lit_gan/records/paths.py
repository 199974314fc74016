"""The files that a run reads: recorded with whole paths, so that the run can be resumed from any
folder."""

import os
from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError
from lit_gan.overrides import as_override_value, parse_override
from lit_gan.ranges import ReadsPath
from lit_gan.settings import marked_settings

COMMON_PATHS = ("data.root", "data.file", "init")
"""The settings that name files or folders to read whatever classes there are: commands have them by
themselves, and their paths are whole before any class is known."""


def path_settings(config: DictConfig) -> list[str]:
    """The settings of a training that name files or folders to read: `COMMON_PATHS`, and what a
    class has marked `ReadsPath`."""
    return list(dict.fromkeys([*COMMON_PATHS, *marked_settings(config, ReadsPath)]))


def expand_home(name: str, path: str) -> str:
    """A path with the home directory in place of the `~` or `~user` that it begins with.

    Args:
        name: the setting that the path is given for, as in `run=~/x`.

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
    """The whole path of what `path` names from the present folder.

    Raises:
        UserError: as `expand_home`.
    """
    return os.path.abspath(expand_home(name, str(path)))


def no_run(setting: str, directory: str | os.PathLike, missing: Path) -> UserError:
    """The error for a directory that is not that of a run; of a checkpoint, or the folder of a run's
    checkpoints, with the run that it belongs to.

    Args:
        missing: the file that every run has.
    """
    path = Path(directory)
    folder = path.parent if path.suffix == ".ckpt" else path
    if folder.name != "checkpoints":
        return UserError(f"{setting}={directory} is no run directory: there is no {missing}, which every run writes.")
    choice = f" checkpoint={path.stem}" if setting == "run" and path != folder and path.stem != "last" else ""
    return UserError(
        f"{setting}={directory} lies inside a run directory, which {setting} names: write "
        f"{setting}={folder.parent}{choice}."
    )


def with_whole_path(setting: str, names: Collection[str] = COMMON_PATHS) -> str:
    """An override, with its path made absolute if it is about one of some settings; values to sweep
    over stay as they are.

    Raises:
        UserError: as `absolute`.
    """
    override = parse_override(setting)
    name, path = override.key_or_group, override.value()
    if name not in names or override.is_sweep_override() or path in (None, "") or "${" in str(path):
        return setting
    return f"{override.get_key_element()}={as_override_value(absolute(name, str(path)))}"


def make_paths_absolute(config: DictConfig) -> None:
    """Replaces the paths in a config by whole ones.

    Raises:
        UserError: as `absolute`.
    """
    for name in path_settings(config):
        if isinstance(path := OmegaConf.select(config, name), str):
            OmegaConf.update(config, name, absolute(name, path))


def keep_recorded_paths(old: DictConfig, new: DictConfig, typed: set[str]) -> None:
    """Lets a resumed run read its files where it has read them before, if they are still there.

    Args:
        old: the recorded config.
        new: the config of the resumed run, which is changed.
        typed: the settings on the command line, which decide.
    """
    for name in path_settings(new):
        before = OmegaConf.select(old, name)
        if isinstance(before, str) and name not in typed and os.path.isabs(before) and os.path.exists(before):
            OmegaConf.update(new, name, before)


def find_moved_data(config: DictConfig) -> None:
    """Lets a config read its data sets from the folder LIT_GAN_DATA where they are no longer in the
    recorded one.

    Only data sets that can be downloaded are looked for; without that variable nothing changes.
    """
    folder = os.environ.get("LIT_GAN_DATA")
    for name in ("data", "data.base"):
        downloaded = OmegaConf.select(config, f"{name}.download") is not None
        if folder and downloaded and not os.path.exists(str(OmegaConf.select(config, f"{name}.root"))):
            OmegaConf.update(config, f"{name}.root", absolute("LIT_GAN_DATA", folder))
