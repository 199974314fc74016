"""Hydra's flags, `--multirun` and `--cfg job`, wherever they stand among the settings of a command
line, and the package's own, `--json`."""

import argparse
import itertools
import os
from pathlib import Path

from hydra._internal.utils import get_args_parser

from lit_gan.errors import UserError

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""What Hydra's flag `--info` takes."""

SHELL = "--shell-completion"
DEEDS = ("--run", "--multirun", "--cfg", "--info", SHELL)
"""The flags that say what Hydra is to do, of which it does one."""
COMPLETIONS = ("install=", "uninstall=", "query=")
"""What Hydra can do about the completion of a shell."""

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


def is_first_process() -> bool:
    """Whether a person typed the words of this process; a training on several devices starts the others
    with those that it has made of them."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def check_flags(flags: list[str], settings: list[str]) -> None:
    """Refuses flags that Hydra answers with a traceback: those that do not go together, and those
    without what they need.

    Raises:
        UserError: names the flags.
    """
    read = read_flags(flags)
    given = [flag for flag in DEEDS if getattr(read, flag.strip("-").replace("-", "_"))]
    if len(given) > 1 and not (read.help or read.hydra_help):
        raise UserError(f"{' and '.join(given)} do not go together: leave all but one of them out.")
    if read.resolve and not (read.cfg or read.help):
        raise UserError("--resolve applies to --cfg and --help: add --cfg job, or leave it out.")
    if read.shell_completion and not any(setting.startswith(COMPLETIONS) for setting in settings):
        raise UserError(f"{SHELL} needs to be told what to do: {SHELL} install=bash, or uninstall=bash.")
    if (file := read.experimental_rerun) is not None and not Path(file).is_file():
        raise UserError(f"--experimental-rerun={file} is no file: name the config.pickle of a run, or leave it out.")


def check_primary_config(flags: list[str], config_name: str) -> None:
    """Refuses another primary config than the command's own: Hydra takes the search path, and so the
    sweeps and the folders of one's own, from that one alone.

    Raises:
        UserError: names the flag, and what does the same.
    """
    read = read_flags(flags)
    if read.config_path:
        raise UserError(
            f"--config-path={read.config_path} would replace the configs of the package: write "
            f"--config-dir {read.config_path} to add those of your own to them."
        )
    if read.config_name not in (None, config_name):
        raise UserError(
            f"--config-name={read.config_name}: {config_name} has no other primary config than its own: make it an "
            f"experiment, FOLDER/experiment/{read.config_name}.yaml, and choose that with --config-dir FOLDER "
            f"experiment={read.config_name}."
            if config_name == "train"
            else f"--config-name={read.config_name}: {config_name} has no other primary config than its own: leave the "
            f"flag out, and give the settings on the command line."
        )
