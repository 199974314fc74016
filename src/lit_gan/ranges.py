"""What values an argument may have, said where it is declared: `def __init__(self, sigma: NonNegative = 0.1)`.

The annotation is checked in a config before anything is made of it, and by the constructor itself under `@checked`; the
documentation of a choice shows it.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from lit_gan.errors import UserError, written


@dataclass(frozen=True)
class Range:
    """The bounds of an annotated number: at least `least`, below `below`, and finite."""

    least: float = -math.inf
    below: float = math.inf


Count = Annotated[int, Range(1)]
Number = Annotated[float, Range()]
NonNegative = Annotated[float, Range(0)]
Switch = Annotated[bool, Range()]
Seed = Annotated[int, Range(0, 2**32)]

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one word or path", NoneType: "null"}


@dataclass(frozen=True)
class Allowed:
    """The values that a setting may have: of this type, at least `least`, below `below`, and finite."""

    kind: type | UnionType
    least: float = -math.inf
    below: float = math.inf

    @classmethod
    def by(cls, annotation: Any) -> "Allowed":
        """What an annotation such as `Count` or `Annotated[int | None, Range(1)]` allows; a float may be whole."""
        kind, bounds = get_args(annotation)
        wider = kind | int if float in (get_args(kind) or (kind,)) else kind
        return cls(wider, bounds.least, bounds.below)

    @property
    def kinds(self) -> tuple[type, ...]:
        """The types, one by one."""
        return get_args(self.kind) or (self.kind,)

    def __contains__(self, value: Any) -> bool:
        in_range = not isinstance(value, int | float) or self.least <= value < self.below
        return type(value) in self.kinds and in_range

    def __str__(self) -> str:
        kinds = sorted(self.kinds, key=list(KINDS).index)
        words = " or ".join(KINDS[kind] for kind in kinds if kind is not int or float not in kinds)
        if math.isfinite(self.below):
            return f"{words}, at least {self.least} and below {self.below}"
        return f"{words}, {self.least} or more" if math.isfinite(self.least) else words


def require(name: str, value: Any, allowed: Allowed) -> None:
    """Refuses a value.

    Raises:
        UserError: names the setting, the value, and what it may be.
    """
    if value not in allowed:
        raise UserError(f"{name}={written(value)} must be {allowed}.")


def argument_ranges(target: Callable) -> dict[str, Allowed]:
    """What the annotated arguments of a class or function may be; the others may be anything."""
    function = target.__init__ if isinstance(target, type) else target
    hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    ranged = {name: hint for name, hint in hints.items() if get_origin(hint) is Annotated}
    return {name: Allowed.by(hint) for name, hint in ranged.items() if isinstance(get_args(hint)[1], Range)}


def checked(init: Callable) -> Callable:
    """Lets a constructor refuse, by UserError, what the annotations of its arguments exclude."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def checking(*args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs).arguments
        for name, allowed in argument_ranges(init).items():
            if name in given:
                require(name, given[name], allowed)
        init(*args, **kwargs)

    return checking
