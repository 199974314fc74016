"""What a command line and configs of one's own come to: mistakes that Hydra composes without a word.

A run or a sweep that goes on is not asked: what it began with counts, even where today's configs have
other keys.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.catalogue.choice import Choice, read_choice
from lit_gan.catalogue.configs import choices, default_choices, package_folders, primary_keys
from lit_gan.catalogue.groups import WHOLE
from lit_gan.catalogue.suggestions import suggest_setting
from lit_gan.errors import UserError, hint, written
from lit_gan.overrides import override_key, parse_overrides
from lit_gan.records.search_path import SearchPath, named_places

NAMED = {"reg": ("reg", "labels"), "callbacks": ("callbacks",), "logger": ("logger",)}
NAMED |= {"protocol": ("protocol",), "analysis": ("analysis",)}
"""The parts of a config that hold what was chosen of some groups, each below a name of its own."""

PACKAGES = dict.fromkeys(WHOLE, "_global_") | {"labels": "reg"}
"""The groups whose files say where in a config they belong."""

NEEDED = dict.fromkeys(("loss", "optim", "order", "data"), ("_target_",))
NEEDED |= {"model": ("G._target_", "D._target_"), "metrics": ("suite",)}
"""What the choice of a group has to hold, as it names the classes of a run."""


class Job(NamedTuple):
    """What was composed for one training, or for another command.

    Attributes:
        config: its settings.
        hydra: Hydra's part, which holds what was chosen.
    """

    config: DictConfig
    hydra: DictConfig

    @property
    def chosen(self) -> dict[str, Any]:
        """The choice of each group; None where there is none."""
        return dict(self.hydra.runtime.choices)

    @property
    def own(self) -> list[Path]:
        """The folders of configs of one's own."""
        return SearchPath(tuple(named_places(self.hydra.runtime.config_sources))).folders


def check_sweep(jobs: Sequence[Job], typed: Iterable[str]) -> None:
    """Refuses what the cells of a sweep have come to.

    Args:
        typed: the settings of its command line.

    Raises:
        UserError: names the choice or the setting, and the way out.
    """
    for job in jobs:
        check_files(job, "train")
    check_typed(jobs, parse_overrides(typed))


def check_files(job: Job, config_name: str) -> None:
    """Refuses what the file of a choice has left out or put elsewhere, and keys that no command
    reads.

    Raises:
        UserError: names the choice or the key.
    """
    groups = [group for group in default_choices(config_name) if job.chosen.get(group)]
    check_namesakes(job, config_name)
    check_packages(job, groups)
    check_keys(job, config_name)
    check_names(job)
    check_classes(job, groups)
    check_own_settings(job)


def check_namesakes(job: Job, config_name: str) -> None:
    """Refuses a choice whose file lies in a folder of one's own and in the package: Hydra reads one of the two
    without a word. Of the command's own config it never reads that of the folder.

    Of a run that has been trained, only what is typed now is asked for.

    Raises:
        UserError: names the choice and the file.
    """
    typed = {override_key(word) for word in job.hydra.overrides.task}
    groups = [group for group in default_choices(config_name) if config_name == "train" or group in typed]
    for folder, group in itertools.product(job.own, groups):
        for name in names_of(job, group):
            if is_namesake(own := folder / group / f"{name}.yaml", folder):
                raise UserError(
                    f"{group}={name} is a choice of lit_gan's own, whose name {own} cannot have: give that file "
                    f"another name, and choose it by that."
                )
    for folder in job.own:
        if is_namesake(own := folder / f"{config_name}.yaml", folder):
            raise UserError(
                f"{own} is not read, as {config_name}.yaml is lit_gan's own: put its settings into a file of "
                f"{folder / 'experiment'}, and choose that by experiment=NAME."
            )


def is_namesake(own: Path, folder: Path) -> bool:
    """Whether the package has another file of the same place and name as one in a folder of one's own."""
    shipped = [place / own.relative_to(folder) for place in package_folders()]
    return own.is_file() and any(path.is_file() and path.read_bytes() != own.read_bytes() for path in shipped)


def names_of(job: Job, group: str) -> list[str]:
    """What was chosen of a group, one or several.

    Of a group whose list Hydra does not note these are the names that files have put into the config, which
    are those of the files, and what the files that put them there are called.
    """
    part = next((part for part, groups in NAMED.items() if group in groups), group)
    if part not in NAMED or not job.config.get(part) or job.chosen.get(group) is not None:
        chosen = job.chosen.get(group)
        return list(chosen) if isinstance(chosen, list | tuple | ListConfig) else [chosen] if chosen else []
    return list(dict.fromkeys([*job.config[part], *chosen_of(job, part, group)]))


def check_packages(job: Job, groups: Iterable[str]) -> None:
    """Refuses the choice of a group whose file does not say that it belongs elsewhere: what it sets
    lies below the group's name, where nobody looks.

    Raises:
        UserError: names the choice and the line that is missing.
    """
    for group in groups:
        if group in PACKAGES and job.config.get(group):
            raise UserError(without_package(group, written(job.chosen[group])))


def without_package(group: str, name: str) -> str:
    """The sentence about a file without the line that says where it belongs."""
    return f'{group}={name}: its file must begin with "# @package {PACKAGES[group]}".'


def check_keys(job: Job, config_name: str) -> None:
    """Refuses a key at the top of a config that the command's own config has not, unless it is of a
    group of one's own or other settings refer to it.

    Raises:
        UserError: names the key, where it was found, and what was meant.
    """
    groups = {group.rpartition("@")[2].replace("/", ".").split(".")[0] for group in job.chosen}
    elsewhere = {group for group in PACKAGES if not job.chosen.get(group)}
    known = primary_keys(config_name) | (groups - elsewhere)
    unknown = [str(key) for key in job.config if key not in known | {"hydra"}]
    for key in [key for key in unknown if key not in referred_keys(job)]:
        others = OmegaConf.masked_copy(job.config, [each for each in job.config if each in known])
        place = next((f"{choice}: " for choice in own_files(job, WHOLE) if key in choice.content), "")
        raise UserError(f"{place}There is no setting '{key}'{suggest_setting(key, others)}")


def referred_keys(job: Job) -> set[str]:
    """The first keys of everything that a setting of a job refers to, as `${width}` does."""
    texts = (str(OmegaConf.to_container(part, resolve=False)) for part in job)
    return {key for text in texts for key in re.findall(r"\$\{(\w+)", text)}


def own_files(job: Job, groups: Iterable[str]) -> Iterator[Choice]:
    """The choices of some groups whose files lie in a folder of one's own."""
    for group in groups:
        for folder in job.own if job.chosen.get(group) else ():
            if (folder / group / f"{job.chosen[group]}.yaml").is_file():
                yield read_choice(group, job.chosen[group], [folder])


def check_names(job: Job) -> None:
    """Refuses settings that lie where the names of regularizers, callbacks and their like are to be.

    Raises:
        UserError: names the choice, or the setting.
    """
    for part in NAMED:
        node = job.config.get(part)
        for name in node if isinstance(node, DictConfig) else ():
            entry = node._get_node(name)
            if not isinstance(entry, DictConfig) or entry._is_none():
                choice = own_file_with(name, job, part)
                raise UserError(without_name(choice) if choice else no_part(f"{part}.{name}", entry._value()))


def own_file_with(name: str, job: Job, part: str) -> Choice | None:
    """The file of one's own with a key at its top, all of whose keys have come into a part of the
    config."""
    for group in NAMED[part]:
        for folder in job.own:
            for path in sorted((folder / group).glob("*.yaml")):
                choice = read_choice(group, path.stem, [folder])
                if name in choice.values and {*choice.values} <= {*job.config[part]}:
                    return choice
    return None


def without_name(choice: Choice) -> str:
    """The sentence about a file whose settings lie at its top."""
    first = "_target_" if "_target_" in choice.values else next(iter(choice.values))
    return f'{choice}: write its settings below a name, "{choice.name}: {{{first}: ...}}".'


def no_part(key: str, value: Any) -> str:
    """The sentence about a value in the place of the settings of a regularizer, a callback or their
    like."""
    if value is None:
        return f"{key}=null takes nothing away: write ~{key} instead."
    part, _, name = key.partition(".")
    return f"{key}={written(value)} is of none of those in {part}: write {part}.NAME.{name}={written(value)}."


def check_classes(job: Job, groups: Iterable[str]) -> None:
    """Refuses the choice of a group whose file does not name the class that the group is there for.

    Raises:
        UserError: names the choice and what its file lacks.
    """
    for group in groups:
        for key in NEEDED.get(group, ()):
            *owner, name = key.split(".")
            node = OmegaConf.select(job.config, ".".join([group, *owner]))
            if not isinstance(node, DictConfig) or name not in node:
                lacks = f'"{key}: {{_target_: ...}}"' if name != "_target_" else f'"{".".join([*owner, name])}:"'
                raise UserError(f"{group}={written(job.chosen[group])}: its file names no class, {lacks}.")


def check_own_settings(job: Job) -> None:
    """Refuses the file of an experiment, a method or a sweep of one's own with settings of a
    regularizer, a callback or their like that it has not chosen, unless the command line has chosen
    others.

    Raises:
        UserError: names the file, the settings and what to choose.
    """
    given = {override_key(word) for word in job.hydra.overrides.task} | {*(job.hydra.sweeper.get("params") or {})}
    if sum(bool(job.chosen.get(group)) for group in WHOLE) != 1:
        return
    for choice in own_files(job, WHOLE):
        for part, groups in NAMED.items():
            settings = choice.content.get(part)
            for name in settings if isinstance(settings, dict) and not given & {*groups} else ():
                if not is_part(job, part, name) and (right := instead(job, part, name)):
                    before, now = right
                    raise UserError(
                        f"{choice} sets {part}.{name}, but {name} is not among {before}: write {now}, or leave it out."
                    )


def check_typed(jobs: Sequence[Job], typed: Iterable[Override]) -> None:
    """Refuses typed settings of a regularizer, a callback or their like that no job has chosen; those
    in the file of an experiment are of one that the command line may take away.

    Raises:
        UserError: names the setting and what to choose.
    """
    for override in [override for override in typed if not override.is_delete()]:
        part, *names = override.key_or_group.split(".")
        if part in NAMED and names and not any(is_part(job, part, names[0]) for job in jobs):
            word = override.input_line.lstrip("+")
            raise UserError(other_choice(word, jobs[0]) or nothing_to_set(word, part, names[0], jobs[0].own))


def nothing_to_set(word: str, part: str, name: str, own: Sequence[Path]) -> str:
    """The sentence about a setting of a choice that does not exist, or that has no settings."""
    there_are = choices(part, own)
    if name in there_are:
        return f"{word}: {part}={name} has no settings, so leave it out."
    return f"{word}: {part}={name} does not exist{hint(name, there_are)}"


def is_part(job: Job, part: str, name: str) -> bool:
    """Whether a part of a config holds what was chosen under a name, not only settings for it. A
    protocol is no class, and has a name."""
    node = OmegaConf.select(job.config, f"{part}.{name}")
    return isinstance(node, DictConfig) and ("name" if part == "protocol" else "_target_") in node


def other_choice(word: str, job: Job) -> str | None:
    """The sentence about a setting of a regularizer, a callback or their like that exists and was not
    chosen; None for other settings."""
    part, name, *_ = [*word.partition("=")[0].split("."), ""]
    if part not in NAMED or part not in job.config or not name or is_part(job, part, name):
        return None
    right = instead(job, part, name)
    return right and f"{word}: {name} is not among {right[0]}: write {right[1]}."


def instead(job: Job, part: str, name: str) -> tuple[str, str] | None:
    """What was chosen of the group that a name is of, and what would choose it too: "reg=[spectral]"
    and "reg=[spectral,r1]"; None for a name that no choice has."""
    for group in NAMED[part]:
        if choice := choice_with(name, group, job.own):
            before = chosen_of(job, part, group)
            others = before if isinstance(before, list) else [before]
            now = choice if group == "labels" else written([*(each for each in others if each != "none"), choice])
            return f"{group}={written(before)}", f"{group}={now}"
    return None


def choice_with(name: str, group: str, own: Sequence[Path]) -> str | None:
    """The choice of a group whose file has a name at its top, first of all the one that is called so;
    None if there is none."""
    likely_first = sorted(choices(group, own), key=lambda choice: choice != name)
    return next((choice for choice in likely_first if name in read_choice(group, choice, own).content), None)


def chosen_of(job: Job, part: str, group: str) -> Any:
    """The choice of a group, or the list of them, which Hydra does not note: the config tells them by what
    they have put into a part of it."""
    if job.chosen.get(group) is not None:
        return job.chosen[group]
    names = [name for name in job.config[part] if is_part(job, part, name)]
    return [choice for name in names if (choice := choice_with(name, group, job.own))]
