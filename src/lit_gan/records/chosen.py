"""The config groups whose choices say what a run is, and those choices in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from lit_gan.errors import written

GAME = ("experiment", "method", "model", "loss", "labels", "reg", "optim", "order")
"""The config groups that say which game a run plays."""

CHOICES = (*GAME, "data")
"""The config groups that say what a run is."""


def choices_in_words(choices: Mapping[str, Any], groups: Iterable[str] = CHOICES, between: str = " ") -> str:
    """What was chosen in some config groups, as on the command line: "model=dcgan reg=[r1]".

    Groups without a choice are left out.
    """
    return between.join(f"{group}={written(choices[group])}" for group in groups if choices.get(group))
