"""The settings in which a run departs from what the paper of its method prescribes."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

UNPRESCRIBED = ("_partial_", "fused", "foreach")
"""Settings of an optimizer that say how it computes, which no paper prescribes."""


def departures(config: DictConfig, choices: dict[str, str]) -> list[str]:
    """A sentence on the settings that differ from `prescribed`, which the file of the method fills;
    [] if none differ.

    Args:
        choices: the option of each config group; that of `optim@prescribed.optim` is the paper's
            optimizer.
    """
    prescribed = OmegaConf.select(config, "prescribed")
    wanted = dict(prescribed_values(OmegaConf.to_container(prescribed))) if prescribed else {}
    found = {name: OmegaConf.select(config, name) for name in wanted}
    differing = [name for name in wanted if found[name] != wanted[name]]
    if not differing:
        return []
    numbers = ", ".join(f"{name}={found[name]} ({wanted[name]})" for name in differing)
    others = [f"{name}={wanted[name]}" for name in differing if not name.startswith("optim.")]
    optimizer = [f"optim={choices['optim@prescribed.optim']}"] if len(others) < len(differing) else []
    return [
        f"The paper of method={choices.get('method')} has other numbers (in brackets) than this run: {numbers}. Set "
        f"{' '.join([*optimizer, *others])} to have them, unless the difference is what you look at."
    ]


def prescribed_values(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The full name and the value of each prescribed setting; a list is one value, and null
    prescribes nothing."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from prescribed_values(value, f"{prefix}{name}.")
        elif value is not None and name not in UNPRESCRIBED:
            yield f"{prefix}{name}", value
