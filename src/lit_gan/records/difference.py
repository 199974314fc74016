"""The first setting in which two configs differ."""

import textwrap
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import written


def first_difference(old: DictConfig, new: DictConfig, keys: Iterable[str]) -> tuple[str, str, str] | None:
    """The full name of the first setting below `keys` in which two configs differ, and both its
    values as text.

    None if the configs agree on all of them. A switch that is off is none that an older run had not.
    """
    for key in keys:
        before, now = (unresolved(config, key) for config in (old, new))
        if before != now and (before, now) != (None, False):
            name, before, now = first_leaf(key, before, now)
            return name, abridged(before), abridged(now)
    return None


def unresolved(config: DictConfig, key: str) -> Any:
    """A setting with its interpolations as they stand, so that a decay until `${updates}` may end
    later on a resume."""
    node = OmegaConf.select(config, key)
    return without_nulls(OmegaConf.to_container(node)) if OmegaConf.is_config(node) else node


def without_nulls(value: Any) -> Any:
    """A value without the keys that are null: older runs were made before there were such
    settings."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return value


def first_leaf(key: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """The first single setting at which two different values of `key` differ: its full name and
    both its values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            if before.get(name) != now.get(name):
                return first_leaf(f"{key}.{name}", before.get(name), now.get(name))
    return key, before, now


def abridged(value: Any) -> str:
    """A value as on the command line, cut to at most 60 characters."""
    return textwrap.shorten(written(value), 60, placeholder=" ...")
