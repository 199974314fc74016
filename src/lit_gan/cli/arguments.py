"""The words of a command line before Hydra reads them: flags anywhere, paths of a home directory, choices of groups."""

import argparse
import itertools
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser

from lit_gan.configs import choices, default_choices
from lit_gan.errors import UserError, hint, written
from lit_gan.overrides import each_value, parse

ONE_CHOICE = ("model", "loss", "optim", "order", "metrics", "data")
"""The groups whose choices exclude each other: of two, the second would overwrite parts of the first."""

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's flag `--info` takes."""


def split_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the settings. argparse itself takes settings in one piece only."""
    flags = [f"{word}=all" if is_bare_info(word, after) else word for word, after in followed(arguments)]
    known, unknown = get_args_parser().parse_known_args(flags)
    settings = [*known.overrides, *(word for word in unknown if not word.startswith("-"))]
    for setting in settings:
        flags.remove(setting)
    return flags, settings


def followed(words: list[str]) -> list[tuple[str, str]]:
    """Each word with the one after it."""
    return list(itertools.zip_longest(words, words[1:], fillvalue=""))


def is_bare_info(word: str, after: str) -> bool:
    """Whether a word is the flag `--info` without its value, so that argparse would take a setting for that."""
    return word in ("--info", "-i") and after not in INFO


def flags_of(arguments: list[str]) -> argparse.Namespace:
    """The flags as Hydra reads them."""
    return get_args_parser().parse_known_args(split_flags(arguments)[0])[0]


def check_choices(settings: list[str], config_name: str, own: list[Path]) -> list[str]:
    """The settings, with `group=null` replaced by what it stands for.

    Args:
        own: folders of further configs.

    Raises:
        UserError: a group is given what is no name of a choice, or nothing where it needs a choice.
    """
    defaults, kept = default_choices(config_name), []
    for setting in settings:
        override = parse(setting)
        group = override.key_or_group if override and not override.is_delete() else ""
        if group not in defaults and not group.startswith("hydra/"):
            kept.append(setting)
        elif override.value() is None:
            kept += instead_of_null(group, defaults.get(group, ""), choices(group, own))
        else:
            for choice in each_value(override):
                check_choice(group, choice, choices(group, own))
            kept.append(setting)
    return kept


def check_choice(group: str, choice: Any, known: list[str]) -> None:
    """Refuses what is no name, and no list of names, of choices; whether a name exists is for Hydra to say.

    Raises:
        UserError: names the group and the value.
    """
    names = choice if isinstance(choice, list) else [choice]
    for name in names:
        if isinstance(name, dict | list):
            raise UserError(f"{group}={written(choice)} must be a name{hint('', known)}")
        if not isinstance(name, str):
            raise UserError(f"{group}={written(name)} does not exist{hint(str(name), known)}")
        if not name:
            raise UserError(f"{group}= is empty{hint('', known)}")
        if group == "data" and is_path(name, known):
            raise UserError(data_from(name))
    if (group in ONE_CHOICE and len(names) != 1) or (group == "trainer" and not names):
        raise UserError(f"{group}={written(choice)} must be one name{hint('', known)}")


def is_path(name: str, known: list[str]) -> bool:
    """Whether what stands for a choice is a path."""
    return name.startswith(("/", "./", "../", "~")) or (name not in known and Path(name).exists())


def data_from(path: str) -> str:
    """The sentence for a path that stands where the kind of a data set does."""
    a_text = Path(path).suffix == ".txt"
    instead = f"data=text data.file={path}" if a_text else f"data=image_folder data.root={path}"
    return f"data={path} is a path, but data names the kind of data set: write {instead}."


def instead_of_null(group: str, default: Any, known: list[str]) -> list[str]:
    """What `group=null` stands for: an empty list, the choice `none`, or no setting where null is the default.

    Raises:
        UserError: the group needs a choice.
    """
    if default is None:
        return []
    if isinstance(default, list):
        return [f"{group}=[]"]
    if "none" in known:
        return [f"{group}=none"]
    raise UserError(f"{group}=null: one has to be chosen{hint('', known)}")
