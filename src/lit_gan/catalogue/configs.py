"""The configs that the package ships: which groups there are, their choices, and what they compose
to."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import written
from lit_gan.overrides import override_key, override_values, parse_overrides

SEARCH_PATH = "hydra.searchpath"
"""The setting that lists where Hydra finds more configs."""


def package_folders() -> list[Path]:
    """The folders of the configs and sweeps that the package ships."""
    import lit_gan.conf
    import lit_gan.sweeps

    return [Path(package.__file__).parent for package in (lit_gan.conf, lit_gan.sweeps)]


def choices(group: str, own: Sequence[Path] = ()) -> list[str]:
    """The choices of a config group, in the package's configs and sweeps and in folders of one's
    own.

    A file whose name begins with an underscore is read by other files and is no choice.
    """
    folders = [folder / group for folder in [*package_folders(), *own]]
    return sorted({path.stem for folder in folders for path in folder.glob("[!_]*.yaml")})


def default_choices(config_name: str) -> dict[str, Any]:
    """The default choice of each group of a primary config: {"model": "dcgan", "reg": ["spectral"],
    "sweep": None}."""
    entries = primary_config(config_name).get("defaults", [])
    groups = [entry for entry in entries if isinstance(entry, dict)]
    return {name: choice for entry in groups for name, choice in entry.items() if not name.startswith("override ")}


def default_settings(config_name: str) -> list[str]:
    """The settings at the top of a primary config that are values and no groups: "seed", "updates"."""
    content = primary_config(config_name)
    return [name for name, value in content.items() if not isinstance(value, dict) and name != "defaults"]


def primary_keys(config_name: str) -> set[str]:
    """The keys at the top of a primary config, without those of its groups."""
    return {*primary_config(config_name)} - {"defaults", "hydra"}


def commands_with(name: str, but: str) -> list[str]:
    """The commands, but for one, that have a setting or a group of a name at their top."""
    names = sorted(path.stem for path in package_folders()[0].glob("[!_]*.yaml"))
    return [each for each in names if each != but and name in primary_keys(each) | {*default_choices(each)}]


@functools.cache
def primary_config(config_name: str) -> dict[str, Any]:
    """The keys and values of a primary config, those of the files that it shares with others among
    them: what is in its groups is left out."""
    content = yaml.safe_load((package_folders()[0] / f"{config_name}.yaml").read_text(encoding="utf-8"))
    shared = [each for each in content.get("defaults", []) if str(each).startswith("_") and each != "_self_"]
    return {key: value for each in shared for key, value in primary_config(each).items()} | content


def compose_choices(config_name: str, settings: list[str], with_hydra: bool = False) -> DictConfig:
    """A config with those settings only that choose configs, and of several choices the first.

    Which settings there are follows from the choices, so that what cannot be composed with them can
    be explained.

    Args:
        with_hydra: whether Hydra's part, which holds what was chosen, is left in it.
    """
    groups, found = default_choices(config_name), [word for word in settings if override_key(word) == SEARCH_PATH]
    for override in parse_overrides(settings):
        if override.key_or_group in groups and not override.is_delete():
            values = override_values(override)
            found += [f"{override.get_key_element()}={written(values[0])}"] if values else []
    return compose_leniently(config_name, found, with_hydra)


def compose_leniently(config_name: str, overrides: list[str], with_hydra: bool = False) -> DictConfig:
    """A config with as many of the overrides as can be composed together, in their order."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        kept, config = [], hydra.compose(config_name, return_hydra_config=with_hydra)
        for override in overrides:
            try:
                config = hydra.compose(config_name, [*kept, override], return_hydra_config=with_hydra)
                kept.append(override)
            except (HydraException, OmegaConfBaseException, ValueError):  # the mistake that is being explained
                continue
        return config
