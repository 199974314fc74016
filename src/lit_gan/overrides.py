"""The settings of a command line, `model.width=8`: read in Hydra's grammar, and written so that Hydra reads them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType


def parsed(arguments: Iterable[str]) -> list[Override]:
    """The arguments that are settings, in Hydra's grammar."""
    hydra = GlobalHydra.instance()
    parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
    return parser.parse_overrides([each for each in arguments if "=" in each and each[0] != "-"])


def parse(setting: str) -> Override | None:
    """A setting in Hydra's reading; None for a word that is no setting, which Hydra refuses itself."""
    return next(iter(parsed([setting])), None)


def each_value(override: Override) -> list[Any]:
    """The value of a setting, or each of several; what a pattern means are names that there are."""
    if not override.is_sweep_override():
        return [override.value()]
    if override.value_type not in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        return []
    return [parse(f"x={value}").value() for value in override.sweep_string_iterator()]


def axes_of(arguments: Sequence[str]) -> list[str]:
    """The settings of a command line that are given several values."""
    return [override.get_key_element().lstrip("+") for override in parsed(arguments) if override.is_sweep_override()]


def key(override: str) -> str:
    """What an override is about: `+reg=x` and `reg=[]` are both about `reg`."""
    return override.split("=")[0].lstrip("+~")


TYPED = r"[\w@%+:./=-]+"


def quoted(value: str) -> str:
    """A value in Hydra's syntax: in quotes if it holds anything unusual."""
    plain = re.fullmatch(r"[\w@%+:./-]+", value, re.ASCII)
    return value if plain else '"' + value.replace('"', r"\"") + '"'


def typed(value: str) -> str:
    """A value as one types it: `readable` puts the quotes around one with equals signs."""
    return value if re.fullmatch(TYPED, value, re.ASCII) else quoted(value)


def unquoted(value: str) -> str:
    """A value without the quotes of Hydra's syntax."""
    quote = value[:1]
    return value[1:-1].replace(f"\\{quote}", quote) if quote in ("'", '"') and value.endswith(quote) else value


def readable(argument: str) -> str:
    """An argument in Hydra's quotes if its value holds what Hydra's grammar lacks: a letter beyond ASCII, or an equals
    sign, as the directory of a sweep's cell does."""
    name, _, value = argument.partition("=")
    lacked = re.fullmatch(TYPED, value) and ("=" in value or not value.isascii())
    return f"{name}={quoted(value)}" if lacked and not name.startswith("-") else argument
