"""Hydra's flags, `--multirun` and `--cfg job`, wherever they stand among the settings of a command
line, and the package's own, `--json`."""

import argparse
import itertools

from hydra._internal.utils import get_args_parser

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's flag `--info` takes."""

JSON = "--json"
"""The flag of `train` that asks for one line about what was trained; Hydra does not see it."""


def split_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the settings; argparse alone reads settings that stand
    together only."""
    flags = [f"{word}=all" if is_bare_info(word, after) else word for word, after in with_next(arguments)]
    known, unknown = get_args_parser().parse_known_args(flags)
    settings = [*known.overrides, *(word for word in unknown if not word.startswith("-"))]
    for setting in settings:
        flags.remove(setting)
    return flags, settings


def with_next(words: list[str]) -> list[tuple[str, str]]:
    """Each word with the one after it."""
    return list(itertools.zip_longest(words, words[1:], fillvalue=""))


def is_bare_info(word: str, after: str) -> bool:
    """Whether a word is the flag `--info` without a value, for which argparse would take the next
    setting."""
    return word in ("--info", "-i") and after not in INFO


def read_flags(arguments: list[str]) -> argparse.Namespace:
    """The flags of a command line in Hydra's reading."""
    return get_args_parser().parse_known_args(split_flags(arguments)[0])[0]
