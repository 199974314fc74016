"""The doors of the package: what `python -m lit_gan.NAME` and the console script `lit-gan-NAME`
call.

A door names its task by a string and imports it when the task starts, because PyTorch takes seconds
to load and --help, --cfg job and the announcement of what is going to be done must not wait for it.
"""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.cli.launch import launch
from lit_gan.errors import UserError
from lit_gan.sweep.cell_process import end_with_parent
from lit_gan.system.signals import STOPPED
from lit_gan.system.streams import take_streams
from lit_gan.system.watching import announce


def door(config_name: str, task: str, deed: str | None = None) -> Callable[[], None]:
    """The `main` of a command whose settings Hydra reads.

    Args:
        config_name: the primary config, "evaluate".
        task: the function that gets the config, "lit_gan.tasks.evaluate:evaluate".
        deed: what the task does to a run, a sweep or images, "scoring"; it is announced with the one that
            was named.
    """

    def perform(config: DictConfig) -> Any:
        for name in ("run", "sweep", "images") if deed else ():
            if named := OmegaConf.select(config, name):
                announce(f"{deed} {name}={named}")
        return import_task(task)(config)

    def main() -> None:
        if config_name in ("train", "evaluate"):
            end_with_parent()
        launch(perform, config_name)

    return main


def parser_door(parser: argparse.ArgumentParser, task: str) -> Callable[[], None]:
    """The `main` of a command without a config, whose task gets what a parser reads as keyword
    arguments."""

    def main() -> None:
        take_streams()
        arguments = parser.parse_args()
        try:
            check_named_alone(arguments)
            import_task(task)(**vars(arguments))
        except UserError as error:
            sys.exit(f"lit_gan: {error}")
        except KeyboardInterrupt:
            sys.exit(STOPPED)

    return main


def check_named_alone(arguments: argparse.Namespace) -> None:
    """Refuses a directory that is written as a setting, which is how the other commands take it.

    Raises:
        UserError: shows the directory alone.
    """
    values = [value if isinstance(value, list) else [value] for value in vars(arguments).values()]
    for path in (each for several in values for each in several if isinstance(each, Path)):
        name, _, directory = str(path).partition("=")
        if name in ("run", "sweep") and not path.exists():
            raise UserError(f"{path} is no directory: this command takes it without a name, {directory or 'DIR'}.")


def import_task(name: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)
