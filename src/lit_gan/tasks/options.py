"""What can be chosen and set, in the shell: all of it, a group, or everything about one choice."""

import inspect
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lit_gan.catalogue.choice import Choice
from lit_gan.catalogue.groups import WHOLE, all_groups, choices_of, find_choice
from lit_gan.errors import UserError
from lit_gan.records.search_path import find_modules
from lit_gan.system.console import plain_console

if TYPE_CHECKING:  # lit_gan.catalogue.settings loads torch
    from lit_gan.catalogue.settings import Composed, Setting


def options(what: str | None = None, config_dir: Path | None = None, markdown: bool = False) -> None:
    """Prints the groups with their choices, one group ("reg"), everything about one choice
    ("reg=lecam") or a single setting ("optim.d.lr").

    Args:
        config_dir: a folder of configs of one's own.
        markdown: whether to print all of it as the page docs/methods.md instead.

    Raises:
        UserError: there is no such folder, group, choice or setting.
    """
    if markdown:
        from lit_gan.catalogue.markdown import methods_page  # loads the classes, and torch

        print(methods_page(), end="")
        return
    own = find_own_folders(config_dir)
    group, equals, names = (what or "").partition("=")
    for name in names.strip("[]").split(",") if equals else []:
        show_choice(find_choice(group, name, own), own)
    for name in [] if equals else [group] if group else all_groups(own):
        if name in all_groups(own) or not show_setting(name, own):
            show_group(name, own)
    if not group:
        print("Everything about one of them: python -m lit_gan.options reg=gradient_penalty")


def find_own_folders(config_dir: Path | None) -> list[Path]:
    """The folders of configs of one's own, whose classes Python then finds as it does in a
    training.

    Raises:
        UserError: there is no such folder.
    """
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise UserError(f"--config-dir {config_dir} is no folder: name the one that holds the folders reg, loss, ...")
    find_modules([Path.cwd(), config_dir.absolute().parent, config_dir.absolute()])
    return [config_dir]


def show_group(group: str, own: Sequence[Path]) -> None:
    """Prints a line for a group and one for each of its choices."""
    found = choices_of(group, own)
    width = max((len(choice.name) for choice in found), default=0)
    console = plain_console(highlight=False, soft_wrap=True)
    console.print(Text.assemble((group, "bold"), f": {all_groups(own)[group]}"))
    for choice in found:
        console.print(f"  {choice.name.ljust(width)}  {choice.meaning}")
    console.print()


def show_setting(name: str, own: Sequence[Path]) -> bool:
    """Prints a setting of a training as each choice that has it sets it; returns whether there is
    such a setting."""
    from lit_gan.catalogue.named_setting import settings_called

    found = settings_called(name, own)
    console = plain_console(highlight=False)
    for owners, setting in found:
        console.print(Text(owners, "bold"), soft_wrap=True)
        console.print(settings_table([setting]))
    return bool(found)


def show_choice(choice: Choice, own: Sequence[Path]) -> None:
    """Prints the meaning of a choice, its source, its settings, an example and the docstrings of
    its classes."""
    from lit_gan.catalogue.contents import stands_for
    from lit_gan.catalogue.settings import compose

    composed = None if choice.group in WHOLE else compose(choice, own)
    settings = composed.settings if composed else []  # refuses a class that cannot be imported
    console = plain_console(highlight=False)
    console.print(Text(str(choice), "bold"))
    console.print(f"{choice.meaning} {choice.source}\n")
    if composed is None:
        console.print(f"It stands for: {stands_for(choice)}\n", soft_wrap=True)
        console.print(f"Example: {example(choice, settings, own)}\n", soft_wrap=True)
    else:
        show_settings(composed, settings, console, own)


def show_settings(composed: "Composed", settings: Sequence["Setting"], console: Console, own: Sequence[Path]) -> None:
    """Prints the settings of a choice, an example and the docstrings of its classes."""
    if composed.base is not None:
        console.print(f"It is {composed.choice.group}={composed.base} with other values:")
    if settings:
        console.print(settings_table(settings))
    console.print(f"Example: {example(composed.choice, settings, own)}\n", soft_wrap=True)
    for each in composed.classes:
        console.print(Text(f"{each.__module__}.{each.__qualname__}", "bold"))
        console.print(f"{inspect.getdoc(each)}\n", soft_wrap=True)


def settings_table(settings: Sequence["Setting"]) -> Table:
    """The settings of a choice: its name, default and range below each other, to leave room for
    what it means."""
    table = Table(Column("setting=default\n(range)", overflow="fold"), "meaning", show_lines=True)
    for each in settings:
        table.add_row(f"{each.name}={each.default}" + (f"\n({each.range})" if each.range else ""), each.meaning)
    return table


def example(choice: Choice, settings: Sequence["Setting"], own: Sequence[Path]) -> str:
    """A command that selects a choice and sets the first of its numbers; of one's own, with its folder."""
    command = "python -m lit_gan.analyze run=DIR" if choice.group == "analysis" else "python -m lit_gan.train"
    numbers = [each for each in settings if re.fullmatch(r"-?\d+(\.\d+)?", each.default)]
    number = [f"{each.name}={each.default}" for each in numbers[:1]]
    holders = [folder for folder in own if (folder / choice.group / f"{choice.name}.yaml").is_file()]
    folder = [f"--config-dir {shlex.quote(str(each))}" for each in holders[:1]]
    return " ".join([command, *folder, str(choice), *number])
