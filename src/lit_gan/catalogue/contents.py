"""What a choice of a whole experiment, method or sweep stands for."""

from collections.abc import Iterator, Mapping
from typing import Any

from lit_gan.catalogue.choice import Choice, read_choice
from lit_gan.catalogue.settings import in_short
from lit_gan.settings import PRESENTATION

UNSEEN = ("hydra", *PRESENTATION)
"""Parts of a file that are about sweeps and reports and change nothing in a training."""


def stands_for(choice: Choice) -> str:
    """The words of a command line that do what the choice does: "loss=hinge reg=[spectral]
    updates=100000"."""
    return " ".join([*chosen(choice), *set_to(choice.values), *varied(choice.values)])


def chosen(choice: Choice) -> Iterator[str]:
    """The choices of other groups, and the choice of its own group that it builds on."""
    for entry in choice.defaults:
        if isinstance(entry, str) and "/_" in entry:
            yield from shared(*entry.removeprefix("/").split("/"))
        elif isinstance(entry, str) and entry != "_self_":
            yield f"{choice.group}={entry}"
        elif isinstance(entry, dict):
            (key, value), *_ = entry.items()
            if key.startswith("override /"):
                yield f"{key.removeprefix('override /')}={in_short(value)}"


def shared(group: str, name: str) -> Iterator[str]:
    """The settings of a file of another group that several choices read: "optim",
    "_sngan_resnet"."""
    yield from set_to(read_choice(group, name).values, f"{group}.")


def varied(values: Mapping[str, Any]) -> list[str]:
    """The settings that a sweep varies, with their values."""
    params = values.get("hydra", {}).get("sweeper", {}).get("params", {})
    return [f"{key}={value}" for key, value in params.items()]


def set_to(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The settings of a file with their values; an object by the name of its class."""
    for key, value in values.items():
        if key in UNSEEN and not prefix:
            continue
        if isinstance(value, dict) and "_target_" not in value:
            yield from set_to(value, f"{prefix}{key}.")
        else:
            word = f"{prefix}{key}={in_short(value)}"
            yield f"'{word}'" if "${" in word else word  # a shell would take it for a variable of its own
