"""The console on which all commands print tables and lines with rich."""

from rich.console import Console


def plain_console(highlight: bool = True, soft_wrap: bool = False) -> Console:
    """A console that prints every text as it is: names of files and settings may hold what rich
    reads as markup.

    Args:
        highlight: whether numbers and paths are coloured.
        soft_wrap: whether long lines are left for the terminal to break.
    """
    return Console(markup=False, emoji=False, highlight=highlight, soft_wrap=soft_wrap)
