"""In what two configs differ."""

import textwrap
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import written


def first_difference(old: DictConfig, new: DictConfig, keys: Iterable[str]) -> tuple[str, str, str] | None:
    """The first setting below the keys in which two configs differ, and both its values in a few words."""
    for key in keys:
        before, now = (as_written(config, key) for config in (old, new))
        if before != now:
            name, before, now = leaf(key, before, now)
            return name, brief(before), brief(now)
    return None


def as_written(config: DictConfig, key: str) -> Any:
    """A setting with its interpolations as they stand, so that a decay until `${updates}` may end later on a resume."""
    node = OmegaConf.select(config, key)
    return without_nulls(OmegaConf.to_container(node)) if OmegaConf.is_config(node) else node


def without_nulls(value: Any) -> Any:
    """What is null is as good as not there, as in a run from before there was such a setting."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return value


def leaf(key: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """The first leaf at which two settings differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            if before.get(name) != now.get(name):
                return leaf(f"{key}.{name}", before.get(name), now.get(name))
    return key, before, now


def brief(value: Any) -> str:
    """A value in a few words."""
    return textwrap.shorten(written(value), 60, placeholder=" ...")
