"""`sweep.json`: which cells the directory of a sweep is to hold."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.overrides import override_key, parse_overrides
from lit_gan.records.files import read_json, write_text
from lit_gan.sweep.search import is_search

Plan = dict[str, Any]
REWRITTEN = "delete it, and the next start of the sweep writes it"
"""What to do about a damaged file of a sweep."""


def cell_name(overrides: Iterable[str], axes: Iterable[str]) -> str:
    """The directory of a cell below that of its sweep, by its values on the axes:
    "method=sn_gan/seed=0"."""
    values = dict(override.lstrip("+").split("=", 1) for override in overrides if not override.startswith("~"))
    return "/".join(f"{axis}={as_path_part(values[axis])}" for axis in axes if axis in values) or "all"


def as_path_part(value: str) -> str:
    """A value as part of a path: "none" for `[]`, "a+b" for `[a,b]`."""
    plain = value.strip("[]'\"").replace(",", "+") or "none"
    return re.sub(r"[^\w.+:-]", "_", plain)


def axes_of_sweep(params: Iterable[str], more: Iterable[str]) -> list[str]:
    """The axes of a sweep's file, then those of the command line."""
    return list(dict.fromkeys([*params, *more]))


def planned_cells(hydra: DictConfig, axes: list[str]) -> dict[str, list[str]]:
    """The names of a grid's cells with their overrides; empty for a search, which decides on its
    cells as it goes.

    Raises:
        UserError: two cells would have the same directory.
    """
    grid = settings_of_sweep(hydra)
    return {} if is_search(hydra) or not all(map(is_discrete, grid)) else cells_of(grid, axes)


def settings_of_sweep(hydra: DictConfig) -> list[Override]:
    """What the file and the command line of a sweep set, with one value or several; the last word
    about a setting counts."""
    params = hydra.sweeper.get("params") or {}
    typed = [word for word in hydra.overrides.task if "=" in word]  # a `~key` says nothing about a grid
    settings = parse_overrides([*(f"{name}={value}" for name, value in params.items()), *typed])
    return list({setting.get_key_element(): setting for setting in settings}.values())


def made_again(hydra: DictConfig, axes: Iterable[str], old: Iterable[str]) -> list[str]:
    """The overrides with which a sweep would make a cell that an earlier start has made: its values on
    the axes, and everything else as it is now.

    Args:
        old: the overrides with which the cell was made.
    """
    on_axes = {key: word for word in old if (key := override_key(word)) in axes}
    now = settings_of_sweep(hydra)
    constants = [setting.input_line for setting in now if setting.get_key_element().lstrip("+") not in axes]
    return [*constants, *on_axes.values()]


def is_discrete(override: Override) -> bool:
    """Whether all values of a setting are known beforehand."""
    return not override.is_sweep_override() or override.is_discrete_sweep()


def cells_of(grid: Iterable[Override], axes: list[str]) -> dict[str, list[str]]:
    """The cells' names and overrides: every combination of the values on the axes.

    Raises:
        UserError: two of them have the same name.
    """
    cells = {}
    for overrides in product(*map(single_settings, grid)):
        name = cell_name(overrides, axes)
        if name in cells:
            raise UserError(clash(name, cells[name], overrides))
        cells[name] = list(overrides)
    return cells


def clash(name: str, first: Sequence[str], second: Sequence[str]) -> str:
    """The sentence about two cells with one directory, which names the values that it cannot tell
    apart."""
    pairs = zip(first, second, strict=True)
    one, other = next((pair for pair in pairs if pair[0] != pair[1]), (name, name))
    return (
        f"{one} and {other} are two cells with the same directory, {name}: leave one of them out, or write them so "
        f"that they differ in more than quotes, brackets, commas and special characters."
    )


def single_settings(override: Override) -> list[str]:
    """One override for each value of a setting: ["seed=0", "seed=1"] for `seed=0,1`."""
    if not override.is_sweep_override():
        return [override.input_line]
    name = override.get_key_element()
    return [f"{name}={value}" for value in override.sweep_string_iterator()]


def add_to_plan(directory: Path, sweep: str | None, axes: list[str], cells: Mapping[str, int]) -> None:
    """Adds cells to the plan in a directory.

    Args:
        cells: their names, and the update of G to which this start of the sweep is to train each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = plan_path(directory)
    with FileLock(path.with_suffix(".lock")):
        old = read_plan(directory)
        names = list(dict.fromkeys([*old.get("cells", []), *cells]))
        plan = {"sweep": sweep, "axes": axes, "cells": names, "updates": old.get("updates", {}) | dict(cells)}
        write_text(path, json.dumps(plan, indent=1) + "\n")


def check_plan(directory: Path, sweep: str | None) -> None:
    """Refuses a directory that holds another sweep.

    Raises:
        UserError: names both.
    """
    plan = read_plan(directory)
    if plan and plan["sweep"] != sweep:
        before, now = (name or "an unnamed sweep" for name in (plan["sweep"], sweep))
        raise UserError(f"{directory} holds {before}, not {now}: choose another directory, hydra.sweep.dir=DIR.")


def check_axes(directory: Path, axes: Sequence[str]) -> None:
    """Refuses new cells in a directory whose cells have an axis more, by which these would not be named.

    Raises:
        UserError: names the axis.
    """
    old = read_plan(directory).get("axes", [])
    if missing := [axis for axis in old if axis not in axes]:
        raise UserError(
            f"{directory} holds a sweep over {', '.join(old)}, and this one does not name its cells by {missing[0]}: "
            f"choose another directory, hydra.sweep.dir=DIR, or give {missing[0]} two values; one may be there already."
        )


def plan_path(directory: Path) -> Path:
    """The file that holds the plan of the sweep in a directory."""
    return directory / "sweep.json"


def read_plan(directory: Path) -> Plan:
    """The plan in a directory; empty where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = plan_path(directory)
    return read_json(path, {"sweep", "axes", "cells"}, REWRITTEN) if path.exists() else {}
