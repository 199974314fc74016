"""Where a run's own configs and Python files lie: recorded with the run, so that its directory is enough to go on."""

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lit_gan.records.yaml_file import read_yaml

RECORD = "search_path.yaml"
SHIPPED = "pkg://lit_gan.sweeps"
INSTALLED = ("site-packages", "dist-packages", "lib-dynload")
"""Folders of installed packages, which every process finds."""


@dataclass(frozen=True)
class SearchPath:
    """Places beside those of the package.

    Attributes:
        configs: of configs, in Hydra's spelling: "file:///home/me/mine" or "pkg://mine.conf".
        modules: folders of Python files.
    """

    configs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The folders among the places of configs that are there."""
        files = (place.removeprefix("file://") for place in self.configs if place.startswith("file://"))
        return [Path(file) for file in files if Path(file).is_dir()]

    @property
    def module_folders(self) -> list[Path]:
        """Where the classes that own configs name may lie: beside a folder of configs, as in README, or in it."""
        return [Path.cwd(), *(folder.parent for folder in self.folders), *self.folders]

    def record(self) -> DictConfig:
        """What a run keeps of it."""
        return OmegaConf.create({"configs": list(self.configs), "modules": list(self.modules)})


def present(config: DictConfig) -> SearchPath:
    """The places of this process, and the folders of the Python files that its config names."""
    sources = HydraConfig.get().runtime.config_sources
    return SearchPath(tuple(own_configs(sources)), tuple(dict.fromkeys(map(str, own_modules(config)))))


def own_configs(sources: Iterable[DictConfig], folder: Path | None = None) -> Iterator[str]:
    """The places of configs that were named on the command line, absolute.

    Args:
        folder: where the command was given; the present folder if None.
    """
    for source in sources:
        if source.provider == "command-line" or source.provider.startswith("hydra.searchpath"):
            place = f"{source.schema}://{source.path}"
            if source.schema == "file":
                place = f"file://{(folder or Path.cwd()) / source.path}"
            if place != SHIPPED:
                yield place


def own_modules(config: DictConfig) -> Iterator[Path]:
    """The folders from which Python takes the modules that a config names, but for installed ones."""
    tops = {target.split(".")[0] for target in targets(OmegaConf.to_container(config))} - {"lit_gan", "__main__"}
    for top in sorted(tops):
        module = importlib.util.find_spec(top)
        files = [module.origin, *(module.submodule_search_locations or [])] if module else []
        places = [Path(file) for file in files if file and Path(file).exists()]
        if places:
            folder = places[0].parent.parent if places[0].name == "__init__.py" else places[0].parent
            if folder.name not in INSTALLED and not folder.samefile(Path(importlib.__file__).parent.parent):
                yield folder.absolute()


def targets(value: Any) -> Iterator[str]:
    """Every `_target_` of a config."""
    if isinstance(value, dict):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from targets(entry)


def recorded(directory: Path) -> SearchPath:
    """The places of a run; what Hydra noted of them in one from before they were recorded.

    Raises:
        UserError: the record is damaged.
    """
    path, hydra = (directory / ".hydra" / name for name in (RECORD, "hydra.yaml"))
    if path.is_file():
        content = read_yaml(path, DictConfig)
        return SearchPath(tuple(content.get("configs") or ()), tuple(content.get("modules") or ()))
    runtime = OmegaConf.select(read_yaml(hydra, DictConfig), "hydra.runtime") if hydra.is_file() else None
    if not runtime or "config_sources" not in runtime:
        return SearchPath()
    configs = tuple(own_configs(runtime.config_sources, Path(runtime.cwd)))
    return SearchPath(configs, (runtime.cwd,) if configs else ())


def find_modules(folders: Iterable[Path | str]) -> None:
    """Lets Python look into more folders, after all others, so that nothing installed is hidden."""
    sys.path += [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in sys.path]


def find_modules_of(directory: Path) -> None:
    """Lets Python find the files of a run's own classes.

    Raises:
        UserError: the record is damaged.
    """
    find_modules(recorded(directory).modules)
