"""The config groups and their choices: what each of them is for."""

from collections.abc import Sequence
from pathlib import Path

from lit_gan.catalogue.choice import Choice, read_choice
from lit_gan.catalogue.configs import choices
from lit_gan.errors import UserError, hint

GROUPS = {
    "model": "the two networks, the generator G and the discriminator D",
    "loss": "what each of the two players minimises",
    "reg": "regularizers and other tricks, any number of them: reg=[spectral,gradient_penalty]; their order counts",
    "labels": "how the players see the class of a sample, for data sets that have classes",
    "optim": "the optimizers of both players: learning rates, and how many times D moves before G does",
    "order": "who moves when: in turns, both at once, or with a look ahead",
    "data": "the data set",
    "metrics": "what scores the generated samples",
    "protocol": "how many images a score is taken of, and which; only scores of the same protocol can be compared",
    "experiment": "a row of a paper's table as a whole: networks, loss, data set and numbers in one word",
    "method": "what papers compare under one name: a loss with its regularizers and numbers, for any network and data",
    "sweep": "a table or a figure of a paper: many trainings, and a report about them",
    "callbacks": "what is drawn and recorded during the training",
    "logger": "where curves and pictures go besides the run's own directory",
    "trainer": "the hardware: devices and precision",
    "analysis": "what `python -m lit_gan.analyze` looks at after the training",
}
"""Each group with what it decides, in the order in which a newcomer meets them."""

WHOLE = ("experiment", "method", "sweep")
"""The groups whose choices set what belongs to other groups and have no settings of their own."""


def all_groups(own: Sequence[Path] = ()) -> dict[str, str]:
    """The groups with what each is for, and behind them those that only a folder of one's own
    has."""
    folders = [path.parent.name for folder in own for path in sorted(folder.glob("*/*.yaml"))]
    return GROUPS | {name: "a group of your own" for name in folders if name not in GROUPS}


def choices_of(group: str, own: Sequence[Path] = ()) -> list[Choice]:
    """The choices of a group in the order of their names.

    Raises:
        UserError: there is no such group.
    """
    if group not in all_groups(own):
        raise UserError(f"There is no group '{group}'{owners(group, own) or hint(group, list(all_groups(own)))}")
    return [read_choice(group, name, own) for name in choices(group, own)]


def find_choice(group: str, name: str, own: Sequence[Path] = ()) -> Choice:
    """A choice of a group.

    Raises:
        UserError: there is no such group or no such choice.
    """
    found = {choice.name: choice for choice in choices_of(group, own)}
    if name not in found:
        raise UserError(f"{group}={name} does not exist{hint(name, list(found))}")
    return found[name]


def owners(name: str, own: Sequence[Path]) -> str:
    """The end of a sentence about a choice that was taken for a group; the empty string if it is
    none."""
    found = [f"{group}={name}" for group in all_groups(own) if name in choices(group, own)]
    return f", but there is the choice {' and '.join(found)}." if found else ""
