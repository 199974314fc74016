"""Where Hydra and Python look for configs and classes of one's own: the folders that a command line
or a run names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_gan.catalogue.configs import SEARCH_PATH
from lit_gan.cli.flags import read_flags
from lit_gan.overrides import as_override_value, override_key, override_values, parse_override
from lit_gan.records.search_path import SHIPPED_SWEEPS, SearchPath, find_modules, recorded_search_path


def named_runs(settings: list[str]) -> list[Path]:
    """The run directories that the settings `run` and `resume` name."""
    named = [parse_override(setting) for setting in settings if override_key(setting) in ("run", "resume")]
    values = [value for override in named for value in override_values(override)]
    return [Path(str(value)) for value in values if value not in (None, "")]


def with_recorded_places(settings: list[str], config_name: str, flags: Sequence[str] = ()) -> list[str]:
    """The settings, with the places of the named runs' own configs on Hydra's search path.

    The folders of their classes go on Python's search path, before the present folder unless the command
    line names folders of configs, too. A folder that no longer exists is left out.

    Args:
        flags: of the command line.
    """
    recorded = [recorded_search_path(run) for run in named_runs(settings)]
    for places in recorded:
        find_modules(places.modules, before_here=not own_folders(list(flags), settings))
    found = [place for places in recorded for place in existing_places(places)]
    if not found:
        return settings
    given = given_search_path(settings)
    default = [SHIPPED_SWEEPS] if config_name == "train" else []
    others = [setting for setting in settings if override_key(setting) != SEARCH_PATH]
    return [*others, search_path_setting(*(default if given is None else given), *found)]


def missing_places(settings: list[str]) -> list[Path]:
    """The folders of configs that the named runs have recorded and that are not there any more."""
    recorded = [place for run in named_runs(settings) for place in recorded_search_path(run).configs]
    folders = [Path(place.removeprefix("file://")) for place in recorded if place.startswith("file://")]
    return [folder for folder in dict.fromkeys(folders) if not folder.is_dir()]


def existing_places(places: SearchPath) -> list[str]:
    """The places of configs without the folders that no longer exist."""
    folders = {f"file://{folder}" for folder in places.folders}
    return [place for place in places.configs if place in folders or not place.startswith("file://")]


def given_search_path(settings: list[str]) -> Any:
    """The value of `hydra.searchpath` among the settings; None if it is not there."""
    return next((parse_override(word).value() for word in settings if override_key(word) == SEARCH_PATH), None)


def search_path_setting(*places: str) -> str:
    """The setting that puts places, each once, on Hydra's search path."""
    return f"{SEARCH_PATH}=[{','.join(map(as_override_value, dict.fromkeys(places)))}]"


def own_folders(flags: list[str], settings: list[str]) -> list[Path]:
    """The folders of configs that the flag --config-dir and the setting `hydra.searchpath` name."""
    folder, places = read_flags(flags).config_dir, given_search_path(settings)
    named = [str(place) for place in places] if isinstance(places, list) else []
    files = [folder, *(place.removeprefix("file://") for place in named if not place.startswith("pkg://"))]
    return [Path(file).absolute() for file in files if file]


def flag_as_setting(flags: list[str]) -> list[str]:
    """The folder that --config-dir names, as the setting that does the same; an empty list without
    that flag."""
    folder = read_flags(flags).config_dir
    return [search_path_setting(f"file://{Path(folder).absolute()}", SHIPPED_SWEEPS)] if folder else []
