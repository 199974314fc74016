"""Where a run departs from what the paper of its method prescribes."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

FREE = ("_partial_", "fused", "foreach")
"""How an optimizer computes, which no paper prescribes."""


def departures(config: DictConfig, choices: dict[str, str]) -> list[str]:
    """A sentence on the settings that differ from `prescribed`, which the file of the method fills; none if none do.

    Args:
        choices: the option of each config group; that of `optim@prescribed.optim` is the paper's optimizer.
    """
    prescribed = OmegaConf.select(config, "prescribed")
    wanted = dict(leaves(OmegaConf.to_container(prescribed))) if prescribed else {}
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


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted names and the values of all settings in a tree; lists are values, and what is null is left out."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        elif value is not None and name not in FREE:
            yield f"{prefix}{name}", value
