"""Overrides, the settings of a command line such as `model.width=8`: read and written in Hydra's
own grammar."""

import re
from collections.abc import Iterable
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType


def parse_overrides(words: Iterable[str]) -> list[Override]:
    """The overrides in Hydra's reading, which knows the choices that a pattern such as
    `loss=glob(h*)` means.

    Raises:
        OverrideParseException: a word is not in Hydra's grammar.
    """
    hydra = GlobalHydra.instance()
    parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
    return parser.parse_overrides(list(words))


def parse_override(word: str) -> Override:
    """One override in Hydra's reading.

    Raises:
        OverrideParseException: it is not in Hydra's grammar.
    """
    return parse_overrides([word])[0]


def override_key(word: str) -> str:
    """What an override sets: `+reg=x`, `reg=[]` and `~reg` are all about `reg`."""
    return parse_override(word).get_key_element().lstrip("+~")


def override_values(override: Override) -> list[Any]:
    """The value of an override, or each of several; an empty list for ranges and patterns."""
    if not override.is_sweep_override():
        return [override.value()]
    if override.value_type not in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        return []
    return [parse_override(f"x={value}").value() for value in override.sweep_string_iterator()]


def swept_keys(words: Iterable[str]) -> list[str]:
    """The keys of the overrides that give several values."""
    return [
        override.get_key_element().lstrip("+") for override in parse_overrides(words) if override.is_sweep_override()
    ]


def as_override_value(text: str) -> str:
    """A text so that Hydra reads exactly it: in quotes if it holds anything unusual."""
    plain = re.fullmatch(r"[\w@%+:./-]+", text, re.ASCII)
    return text if plain else QuotedString(text, Quote.double).with_quotes()


def as_typed_value(text: str) -> str:
    """A text as a person may type it: `quote_typed` adds the quotes that an equals sign needs."""
    return text if re.fullmatch(TYPED, text, re.ASCII) else as_override_value(text)


TYPED = r"[\w@%+:./=-]+"
"""The characters of a path that nobody would think of quoting."""


def quote_typed(word: str) -> str:
    """An override as it was typed, with the quotes that Hydra's grammar wants.

    A path is typed or completed by the shell without Hydra's quotes, but the grammar has no token
    for a letter beyond ASCII, for an equals sign, which the directory of a sweep's cell has, or for
    the `~` of a home directory. `resume` takes every path as it is, since a path is all that it
    takes.
    """
    key, _, value = word.partition("=")
    is_path = value.startswith("~") or (key == "resume" and value not in ("", "null") and value[0] not in "'\"")
    lacks_token = re.fullmatch(TYPED, value) and ("=" in value or not value.isascii())
    return f"{key}={as_override_value(value)}" if is_path or lacks_token else word
