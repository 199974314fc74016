"""The places of a run's own configs and Python files: recorded, so that its directory is enough to
resume it."""

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import INSTALLED, STANDARD_LIBRARY, UserError
from lit_gan.records.files import read_yaml
from lit_gan.records.layout import config_folder

FILE_NAME = "search_path.yaml"
"""The record of a search path, below `.hydra` in a run directory."""

SHIPPED_SWEEPS = "pkg://lit_gan.sweeps"
"""The place of the package's own sweeps, which needs no record."""


@dataclass(frozen=True)
class SearchPath:
    """Places of configs and classes beside those of the package.

    Attributes:
        configs: places of configs, in Hydra's spelling: "file:///home/me/mine" or
            "pkg://mine.conf".
        modules: folders of Python files.
    """

    configs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The existing folders among the places of configs."""
        files = (place.removeprefix("file://") for place in self.configs if place.startswith("file://"))
        return [Path(file) for file in files if Path(file).is_dir()]

    @property
    def module_folders(self) -> list[Path]:
        """The folders in which the classes of these configs may lie: beside a folder of configs, or
        in it."""
        return [Path.cwd(), *(folder.parent for folder in self.folders), *self.folders]

    def as_config(self) -> DictConfig:
        """The record of it that a run keeps."""
        return OmegaConf.create({"configs": list(self.configs), "modules": list(self.modules)})


def current_search_path(config: DictConfig) -> SearchPath:
    """The places of configs of this process, and the folders of the Python files whose classes
    `config` names."""
    sources = HydraConfig.get().runtime.config_sources
    return SearchPath(tuple(named_places(sources)), tuple(dict.fromkeys(map(str, own_modules(config)))))


def named_places(sources: Iterable[DictConfig], folder: Path | None = None) -> Iterator[str]:
    """The absolute places of configs that a command line named.

    Args:
        sources: all places of configs, as Hydra notes them.
        folder: where the command was given; the present folder if None.
    """
    for source in sources:
        if source.provider == "command-line" or source.provider.startswith("hydra.searchpath"):
            place = f"{source.schema}://{source.path}"
            if source.schema == "file":
                place = f"file://{(folder or Path.cwd()) / source.path}"
            if place != SHIPPED_SWEEPS:
                yield place


def own_modules(config: DictConfig) -> Iterator[Path]:
    """The folders from which Python takes the modules that a config names, but for installed
    ones."""
    for top in names_of_own_modules(config):
        folder = folder_of_module(top)
        if folder and folder.name not in INSTALLED and not folder.samefile(STANDARD_LIBRARY):
            yield folder.absolute()


def names_of_own_modules(config: DictConfig) -> list[str]:
    """The modules and packages, but for lit_gan, in which the classes of a config lie."""
    paths = class_paths(OmegaConf.to_container(config))
    return sorted({path.split(".")[0] for path in paths} - {"lit_gan", "__main__"})


def folder_of_module(name: str) -> Path | None:
    """The folder that must be on Python's path for `import name`; None if there is no such file."""
    module = importlib.util.find_spec(name)
    files = [module.origin, *(module.submodule_search_locations or [])] if module else []
    there = [Path(file) for file in files if file and Path(file).exists()]
    if not there:
        return None
    return there[0].parent.parent if there[0].name == "__init__.py" else there[0].parent


def class_paths(value: Any) -> Iterator[str]:
    """Every `_target_` in a config."""
    if isinstance(value, dict):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from class_paths(entry)


def recorded_search_path(directory: Path) -> SearchPath:
    """The places that a run recorded; those that Hydra noted for a run from before there was such a
    record.

    Raises:
        Damaged: the record cannot be read.
    """
    path, hydra = (config_folder(directory) / name for name in (FILE_NAME, "hydra.yaml"))
    if path.is_file():
        content = read_yaml(path, DictConfig)
        return SearchPath(tuple(content.get("configs") or ()), tuple(content.get("modules") or ()))
    runtime = OmegaConf.select(read_yaml(hydra, DictConfig), "hydra.runtime") if hydra.is_file() else None
    if not runtime or "config_sources" not in runtime:
        return SearchPath()
    configs = tuple(named_places(runtime.config_sources, Path(runtime.cwd)))
    return SearchPath(configs, (runtime.cwd,) if configs else ())


def find_modules(folders: Iterable[Path | str], before_here: bool = False) -> None:
    """Lets Python look into more folders, after all others, so that nothing installed is hidden.

    Args:
        before_here: whether what they hold counts where the present folder, in which another project may lie,
            has modules of the same names.
    """
    new = [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in sys.path]
    sys.path += new
    here = [place for place in sys.path if place in ("", str(Path.cwd()))]
    if before_here and here and any(Path(folder).is_dir() for folder in new):
        sys.path[:] = [place for place in sys.path if place not in here] + here


def find_modules_of(directory: Path) -> None:
    """Lets Python find the files of a run's own classes.

    Raises:
        Damaged: the record of the run's search path cannot be read.
    """
    find_modules(recorded_search_path(directory).modules, before_here=True)


def check_modules(directory: Path, config: DictConfig) -> None:
    """Refuses to go on with other code than that of a run where this process has imported, or would import,
    a module of the same name from the folder of another run; what lies in the present folder may be newer.

    Raises:
        UserError: names both files.
    """
    for top in names_of_own_modules(config):
        own, found = file_in(recorded_search_path(directory).modules, top), file_found(top)
        elsewhere = own and found and own.read_bytes() != found.read_bytes()
        if elsewhere and (top in sys.modules or Path.cwd() not in found.parents):
            raise UserError(
                f"run={directory} was made with {own}, and this process has {found} under that name: load the run in a "
                f"process of its own, or first of all."
            )


def file_in(folders: Iterable[str], module: str) -> Path | None:
    """The file of a module in the first of some folders that has it; None if none has."""
    files = [Path(folder) / name for folder in folders for name in (f"{module}.py", f"{module}/__init__.py")]
    return next((file for file in files if file.is_file()), None)


def file_found(module: str) -> Path | None:
    """The file that `import` of a module has read or would read; None if there is none."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # what has been made up in this process has no place
        return None
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None
