"""A setting by its name: the choices that have it, and what it is in each."""

from collections.abc import Sequence
from pathlib import Path

from lit_gan.catalogue.choice import Choice
from lit_gan.catalogue.configs import default_choices, package_folders
from lit_gan.catalogue.groups import WHOLE, all_groups, choices_of
from lit_gan.catalogue.settings import Setting, compose, in_short, walk_values
from lit_gan.ranges import Allowed
from lit_gan.settings import TRAIN


def settings_called(name: str, own: Sequence[Path] = ()) -> list[tuple[str, Setting]]:
    """Every setting of a name, each with the choices that have it: "optim=adam" for "optim.d.lr", and
    "train" for what belongs to a training itself, as "seed" does.

    Settings with the same default and meaning are one.
    """
    found: dict[Setting, list[str]] = {}
    for setting in (each for each in settings_of_train() if each.name == name):
        found[setting] = ["train"]
    for choice in choices_below(name, own):
        for setting in (each for each in compose(choice, own).settings if each.name == name):
            found.setdefault(setting, []).append(str(choice))
    return [(", ".join(owners), setting) for setting, owners in found.items()]


def settings_of_train() -> list[Setting]:
    """The settings that the primary config of a training has besides its groups."""
    text = (package_folders()[0] / "train.yaml").read_text(encoding="utf-8")
    train = Choice("", "train", text)
    ranges = {name: str(Allowed.by(annotation)) for name, annotation in TRAIN.items()}
    return [
        Setting(name, in_short(value), train.comments.get(name, ""), ranges.get(name, ""))
        for name, value in walk_values(train.values)
        if not name.startswith("hydra.")
    ]


def choices_below(name: str, own: Sequence[Path]) -> list[Choice]:
    """The choices of the group that the name of a setting begins with, the default first."""
    group = next((each for each in all_groups(own) if each not in WHOLE and name.startswith(f"{each}.")), None)
    if group is None:
        return []
    default = default_choices("train").get(group)
    return sorted(choices_of(group, own), key=lambda choice: choice.name not in (default, *(default or [])))
