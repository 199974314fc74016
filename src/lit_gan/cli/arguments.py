"""The command line that Hydra is given for what was typed: flags first, and every setting in
full."""

from pathlib import Path

from hydra.core.override_parser.types import Override

from lit_gan.catalogue.configs import choices, default_choices
from lit_gan.cli.choices import check_choices
from lit_gan.cli.deletions import check_deletions
from lit_gan.cli.flags import check_flags, check_primary_config, is_first_process, read_flags, split_flags
from lit_gan.cli.own_configs import own_folders, with_recorded_places
from lit_gan.cli.resume import command_of_resume
from lit_gan.errors import UserError, written
from lit_gan.overrides import (
    as_override_value,
    override_key,
    override_values,
    parse_override,
    parse_overrides,
    quote_typed,
    swept_keys,
)
from lit_gan.records.paths import expand_home, with_whole_path
from lit_gan.records.search_path import find_modules

PATHS = ("resume", "run", "sweep", "output", "hydra.run.dir", "hydra.sweep.dir")
"""The settings that are paths to write to, or of runs; those of files to read have whole paths
(`with_whole_path`)."""


def complete_arguments(arguments: list[str], config_name: str) -> list[str]:
    """The command line that stands for what was typed.

    Args:
        config_name: the primary config of the command; `resume` and sweeps belong to "train" alone.

    Raises:
        UserError: a mistake that can be seen before any config is read.
        OverrideParseException: a word is no setting.
    """
    flags, settings = split_flags(arguments)
    check_flags(flags, settings)
    check_primary_config(flags, config_name)
    settings = [with_whole_path(with_home(quote_typed(setting))) for setting in settings]
    check_deletions(settings, config_name)
    check_lists(settings, config_name)
    settings = with_recorded_places(settings, config_name, flags)
    settings = command_of_resume(settings) if config_name == "train" else settings
    own = own_folders(flags, settings)
    find_modules([Path.cwd(), *(folder.parent for folder in own), *own])
    settings = check_choices(settings, config_name, own)
    return [*flags, *(whole_sweep(flags, settings) if config_name == "train" else settings)]


def check_lists(settings: list[str], config_name: str) -> None:
    """Refuses a name twice in the list of a group: one of the two would be dropped without a word. Of a
    setting that is given twice the last word counts, as everywhere in Hydra.

    Raises:
        UserError: names the list and the name.
    """
    if not is_first_process():
        return  # what a resumed run was made with is among the words
    groups = default_choices(config_name)
    for override in parse_overrides(settings):
        for names in override_values(override) if override.key_or_group in groups else ():
            twice = [name for name in names if names.count(name) > 1] if isinstance(names, list) else []
            if twice:
                group = override.key_or_group
                raise UserError(f"{group}={written(names)} names {written(twice[0])} twice: leave one out.")


def with_home(setting: str) -> str:
    """A setting, with the home directory in place of the `~` that its path begins with.

    Raises:
        UserError: there is no such home directory.
    """
    override = parse_override(setting)
    name, path = override.key_or_group, override.value()
    if name in PATHS and isinstance(path, str) and path.startswith("~"):
        return f"{override.get_key_element()}={as_override_value(expand_home(name, path))}"
    return setting


def whole_sweep(flags: list[str], settings: list[str]) -> list[str]:
    """The settings of a sweep, with its file for the scale and with `axes`, the settings that are
    given several values.

    Raises:
        UserError: the sweep has no such scale, or there is no sweep.
    """
    overrides = [override for override in parse_overrides(settings) if not override.is_delete()]
    given = {override.key_or_group: override.get_value_string() for override in overrides}
    sweep, scale = given.get("sweep", "null"), given.get("scale", "paper")
    if scale != "paper":
        settings = at_scale(settings, sweep, scale)
    several = read_flags(flags).multirun or "hydra.mode=MULTIRUN" in settings or sweep != "null"
    if "hydra.mode=RUN" not in settings:  # of a cell that is resumed by itself
        check_directory_kind(overrides, several)
    axes = dict.fromkeys(swept_keys(settings)) if several else {}
    return [*settings, f"axes=[{','.join(axes)}]"] if axes else settings


def check_directory_kind(overrides: list[Override], several: bool) -> None:
    """Refuses the directory of a single run for a sweep, and that of a sweep for a single run: Hydra
    would write elsewhere without a word.

    Raises:
        UserError: names the setting and the one to use.
    """
    kinds = {"hydra.run.dir": "a single run", "hydra.sweep.dir": "a sweep"}
    right, wrong = kinds if not several else reversed(kinds)
    if given := next((override for override in overrides if override.key_or_group == wrong), None):
        raise UserError(
            f"{given.input_line} is the directory of {kinds[wrong]}, and this is {kinds[right]}: write {right}=DIR."
        )


def at_scale(settings: list[str], sweep: str, scale: str) -> list[str]:
    """The settings, with the sweep's file for a scale other than the paper's.

    Raises:
        UserError: the sweep has no such scale, or there is no sweep.
    """
    if sweep == "null":
        raise UserError(f"scale={scale} needs a sweep: choose one with sweep=NAME, or leave it out.")
    if sweep not in choices("sweep"):
        return settings  # Hydra lists the sweeps that there are
    if scale not in (scales := choices(f"sweep/{sweep}")):
        raise UserError(f"scale={scale}: sweep={sweep} has no such scale; there are {', '.join(['paper', *scales])}.")
    return [f"sweep={sweep}/{scale}" if override_key(setting) == "sweep" else setting for setting in settings]
