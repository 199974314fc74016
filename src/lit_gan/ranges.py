"""What values an argument may have, said where it is declared: `def __init__(self, sigma:
NonNegative = 0.1)`.

The annotation is checked in a config before anything is made of it, and by the constructor itself
under `@checked`; the documentation of a choice shows it. A class from outside the package is
checked in the same way.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lit_gan.errors import UserError, written


@dataclass(frozen=True)
class Range:
    """The bounds of an annotated number: at least `least`, below `below`, above `above`, at most
    `most`, and finite."""

    least: float = -math.inf
    below: float = math.inf
    above: float = -math.inf
    most: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.least <= number < self.below and self.above < number <= self.most

    def __str__(self) -> str:
        bounds = {"at least": self.least, "above": self.above, "below": self.below, "at most": self.most}
        finite = [f"{words} {bound}" for words, bound in bounds.items() if math.isfinite(bound)]
        return f"{self.least} or more" if finite == [f"at least {self.least}"] else " and ".join(finite)


@dataclass(frozen=True)
class ReadsPath:
    """The mark of an argument that names a file or folder to read, `Annotated[str, ReadsPath()]`.

    A run records its whole path, so that it can be resumed from any folder; of a data set it says
    where the data lie and may change on a resume. `Path` and `Path | None` have the same meaning.
    """


@dataclass(frozen=True)
class HowRead:
    """The mark of an argument that says how data are read and not what they are, so that a resume
    may change it."""


Count = Annotated[int, Range(1)]
AtLeastTwo = Annotated[int, Range(2)]
Whole = Annotated[int, Range(0)]
CountOrNone = Annotated[int | None, Range(1)]
WholeOrNone = Annotated[int | None, Range(0)]
CountOrAuto = Annotated[int | Literal["auto"], Range(1)]
CountAutoOrNone = Annotated[int | Literal["auto"] | None, Range(1)]
Number = Annotated[float, Range()]
NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(above=0)]
Probability = Annotated[float, Range(0, below=1)]
Share = Annotated[float, Range(above=0, most=1)]
UnitInterval = Annotated[float, Range(0, most=1)]
Switch = Annotated[bool, Range()]
Seed = Annotated[int, Range(0, below=2**32)]
BatchStatistics = Literal["running", "batch", "standing"]
"""What G's batch normalisation normalises by when it does not train: its running statistics, those
of each batch, or the mean of those of fresh batches drawn for it."""
PathOrNone = Annotated[str | None, ReadsPath()]

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "one word or path", NoneType: "null"}


@dataclass(frozen=True)
class Allowed:
    """The values that an annotation allows: any of `choices`, and any of `types`, numbers within
    `bounds`."""

    types: tuple[type, ...] = ()
    bounds: Range = Range()
    choices: tuple[str, ...] = ()

    @classmethod
    def by(cls, annotation: Any) -> "Allowed":
        """What `Count`, `Annotated[int | None, Range(1)]`, `str | None`, `Literal["g", "d"]` or
        `CountOrAuto` allow."""
        kind, *notes = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
        bounds = next((note for note in notes if isinstance(note, Range)), Range())
        members = (kind,) if get_origin(kind) is Literal else get_args(kind) or (kind,)
        words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
        return cls(tuple(member for member in members if get_origin(member) is not Literal), bounds, tuple(words))

    def __contains__(self, value: Any) -> bool:
        if value in self.choices:
            return True
        whole_for_float = type(value) is int and float in self.types
        is_number = isinstance(value, int | float)
        return (type(value) in self.types or whole_for_float) and (not is_number or value in self.bounds)

    def __str__(self) -> str:
        words = " or ".join([*self.choices, *(KINDS[kind] for kind in self.types)])
        return f"{words}, {self.bounds}" if str(self.bounds) else words


def require(name: str, value: Any, allowed: Allowed) -> None:
    """Refuses a value.

    Raises:
        UserError: names the setting, the value, and what it may be.
    """
    if value not in allowed:
        raise UserError(f"{name}={written(value)} must be {allowed}.")


def argument_ranges(target: Callable) -> dict[str, Allowed]:
    """What those arguments of a class or function may be that are annotated with a `Range` or a
    `Literal`."""
    hints = annotations_of(target.__init__ if isinstance(target, type) else target)
    return {name: Allowed.by(hint) for name, hint in hints.items() if name != "return" and is_range(hint)}


@functools.cache
def annotations_of(function: Callable) -> dict[str, Any]:
    """The annotations of a function, with their notes; empty where Python cannot read them. Each cell of
    a sweep asks for those of the same classes."""
    try:
        return get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError, AttributeError):  # another library's annotations need not be resolvable
        return {}


def is_range(annotation: Any) -> bool:
    """Whether an annotation says which values are possible, and not only of which type they are."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(kind) is Literal:
        return all(isinstance(choice, str) for choice in get_args(kind))
    return any(isinstance(note, Range) for note in notes_of(annotation))


def notes_of(annotation: Any) -> tuple[Any, ...]:
    """What stands behind the type in `Annotated[type, ...]`; a path has the mark `ReadsPath` by
    itself."""
    return (ReadsPath(),) if annotation in (Path, Path | None) else getattr(annotation, "__metadata__", ())


def marked_arguments(target: Callable, marks: tuple[type, ...]) -> list[str]:
    """The arguments of a function, or of a class and those that it inherits from, with one of some
    marks: a subclass hands on what it takes as `**others`."""
    owners = target.__mro__ if isinstance(target, type) else ()
    functions = [vars(owner)["__init__"] for owner in owners if "__init__" in vars(owner)] if owners else [target]
    hints = [hint for function in functions for hint in annotations_of(function).items()]
    return [name for name, hint in hints if any(isinstance(note, marks) for note in notes_of(hint))]


def checked(init: Callable[..., None]) -> Callable[..., None]:
    """Decorates a constructor: it refuses what the annotations of its arguments exclude.

    The sentence names the class, `SpectralNorm.factor=0`. The commands refuse the same values
    before anything is built, by the name of the setting.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def checking(self: Any, *args: Any, **kwargs: Any) -> None:
        with suppress(TypeError):  # of arguments that do not fit: the constructor raises it again, with its name
            given = signature.bind(self, *args, **kwargs).arguments
            for name, allowed in argument_ranges(init).items():
                if name in given:
                    require(f"{type(self).__name__}.{name}", given[name], allowed)
        init(self, *args, **kwargs)

    return checking


@dataclass(frozen=True)
class Many:
    """What an argument is that takes several values and never a single number.

    Attributes:
        mapping: whether each value has a name.
        length: how many there are; None for any number.
        default: its own; the empty string where it has none.
    """

    mapping: bool
    length: int | None
    default: str

    def __contains__(self, value: Any) -> bool:
        many = not isinstance(value, int | float)
        return many and (self.length is None or not isinstance(value, Sequence) or len(value) == self.length)

    def __str__(self) -> str:
        kind, around = ("a mapping", "braces") if self.mapping else ("a list", "brackets")
        return f"{kind}{f' of {self.length} values' if self.length else ''} in {around}{self.example}"

    @property
    def example(self) -> str:
        """The end of a sentence that shows one."""
        return f", such as {self.default}" if self.default else ""


def arguments_of_many(target: Callable) -> dict[str, Many]:
    """Those arguments of a class or function that take several values, and never a single number."""
    function = inspect.unwrap(target.__init__ if isinstance(target, type) else target)
    hints = annotations_of(function)
    given = inspect.signature(function).parameters if hints else {}
    found = {name: many_by(hints.get(name), given[name].default) for name in given}
    return {name: many for name, many in found.items() if many}


def many_by(annotation: Any, default: Any) -> Many | None:
    """What `Sequence[float] | None`, `tuple[int, int]` or `Mapping[str, float]` takes; None for an
    annotation that allows something else."""
    kind, members = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return many_by(members[0], default)
    if kind in (Union, UnionType):
        others = [member for member in members if member is not NoneType]
        return many_by(others[0], default) if len(others) == 1 else None
    if kind not in (Sequence, list, tuple, Mapping, dict):
        return None
    length = len(members) if kind is tuple and ... not in members else None
    example = written(list(default)) if isinstance(default, list | tuple) and default else ""
    return Many(kind in (Mapping, dict), length, example)
