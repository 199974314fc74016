"""Command lines in the process of a test."""

import sys

import pytest

from lit_gan.cli.launch import launch


def command(task, *arguments) -> None:
    """A command line, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [task.__name__, *map(str, arguments)])
        launch(task, task.__name__)
