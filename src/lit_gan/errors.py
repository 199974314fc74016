"""The one exception that reaches a user as a sentence instead of a traceback, what its sentence is
made of, and whose code an exception comes from."""

import difflib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig


class UserError(Exception):
    """Something the user can put right. The message is one sentence: the setting, its value and the
    way out."""


def path_of(thing: Any) -> str:
    """How a config names the class of an object: "my_losses.SquaredHinge"."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def is_shipped(kind: type) -> bool:
    """Whether a class is lit_gan's."""
    return kind.__module__.partition(".")[0] == "lit_gan"


def is_own(kind: type) -> bool:
    """Whether a class is one's own: neither lit_gan's, nor of Python or of an installed package."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
    return not is_shipped(kind) and (kind.__module__ == "__main__" or not is_installed(Path(file)))


def not_written(thing: Any, method: str) -> UserError:
    """The error for a class of one's own that lacks a method which every class of its kind must have."""
    return UserError(f"{path_of(thing)} has no method {method}, which every class of its kind needs: write it.")


def written(value: Any) -> str:
    """A value as one types it on the command line: `null`, `true`, `[a,b]`, `{a:1,b:2}`."""
    if isinstance(value, dict | DictConfig):
        return f"{{{','.join(f'{name}:{written(each)}' for name, each in value.items())}}}"
    if isinstance(value, list | ListConfig):
        return f"[{','.join(map(written, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def one_line(text: str) -> str:
    """A message without its line breaks."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first `most` of some names, and how many more there are."""
    others = len(names) - most
    return ", ".join(names[:most]) + (f" and {others} more" if others > 0 else "")


def hint(word: str, known: Sequence[str]) -> str:
    """The end of a sentence about a wrong word: the nearest known word, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else "."
    return f"{meant} There are: {', '.join(known)}." if known else meant


def modules_below(error: BaseException) -> list[str]:
    """The names of the modules through which an exception has come, outermost first."""
    return [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]


INSTALLED = ("site-packages", "dist-packages", "lib-dynload")
"""Names of folders of installed packages."""

STANDARD_LIBRARY = Path(importlib.__file__).parent.parent

PACKAGE = Path(__file__).parent


def faulty_line(error: BaseException) -> str | None:
    """The line of one's own code that raised an exception or called what did, "my_losses.py, line 12".

    None where it was raised by lit_gan, or by a package that lit_gan had called.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_installed(Path(frame.filename))]
    if not frames or Path(frames[-1].filename).is_relative_to(PACKAGE):
        return None
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"


def own_fault(error: BaseException) -> str | None:
    """The sentence for a fault of one's own code, with its class and its line; None where lit_gan, or a package
    that lit_gan had called, has raised the exception.

    A method that takes other arguments than it is called with counts as one of one's own code.
    """
    if place := faulty_line(error):
        return f"{place}: {told(error)}; mend that line, {WHOLE_WAY}."
    if misfit := misfit_method(error):
        owner, name, place = misfit
        return f"{place}: {told(error)}; declare it as {as_declared(owner, name)} is, {WHOLE_WAY}."
    if isinstance(error, AttributeError) and is_own(type(error.obj)):
        return f"{told(error)}, which is looked for in it: give {path_of(error.obj)} one, {WHOLE_WAY}."
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(RAISED_IN)]
    return f"{told(error)}. {notes[0].rstrip('.')}; mend that class, {WHOLE_WAY}." if notes else None


def reason_of(error: BaseException) -> str:
    """What a record says of the exception that has ended a run: the sentence for a fault of one's own code, else
    its message."""
    return own_fault(error) or str(error)


WHOLE_WAY = "and debug=true shows the whole way there"

RAISED_IN = "This was raised in the "
"""What a note begins with that says to whose class an exception belongs."""


def note_own(error: BaseException, what: str, things: Iterable[Any], circumstances: str = "") -> None:
    """Notes on an exception in "forward" or "gradient" of which objects of one's own it was raised, as no line in its
    traceback says; nothing if they are all lit_gan's."""
    if own := [path_of(thing) for thing in things if not is_shipped(type(thing))]:
        error.add_note(f"{RAISED_IN}{what} of {' and '.join(own)}{circumstances}.")


def told(error: BaseException) -> str:
    """An exception in one line: "KeyError: 'mean'"."""
    return f"{type(error).__name__}: {one_line(str(error)).rstrip('.')}".removesuffix(": ")


def misfit_method(error: BaseException) -> tuple[type, str, str] | None:
    """The class, the name and the line of a method of one's own that does not take the arguments that it was called
    with, of which the exception says no more than "Drift.d() takes 1 positional argument but 2 were given"."""
    said = re.match(r"([\w.]+)\.(\w+)\(\) (?:takes|missing|got)", str(error)) if isinstance(error, TypeError) else None
    for module in imported_own_modules() if said else ():
        owner = reduce(lambda found, name: getattr(found, name, None), said[1].split("."), module)
        code = getattr(inspect.unwrap(getattr(owner, said[2], None)), "__code__", None)
        if isinstance(owner, type) and code:
            return owner, said[2], f"{Path(code.co_filename).name}, line {code.co_firstlineno}"
    return None


def imported_own_modules() -> Iterator[Any]:
    """The modules of one's own that have been imported."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and not is_installed(Path(file)) and not Path(file).is_relative_to(PACKAGE):
            yield module


def as_declared(owner: type, name: str) -> str:
    """How the class from which a method is inherited declares it: "Regularizer.d(self, turn)"."""
    base = next((each for each in owner.__mro__[1:] if name in vars(each)), owner)
    arguments = inspect.signature(inspect.unwrap(vars(base)[name])).parameters
    return f"{base.__name__}.{name}({', '.join(arguments)})"


def is_installed(file: Path) -> bool:
    """Whether a file is part of Python or of an installed package other than lit_gan, or is none at all, as
    what a program has made up."""
    if file.is_relative_to(PACKAGE):
        return False
    return any(map(holds_packages, file.parents)) or file.is_relative_to(STANDARD_LIBRARY) or not file.is_file()


@cache
def holds_packages(folder: Path) -> bool:
    """Whether pip has put packages into a folder, which `pip install --target` lets have any name."""
    return folder.name in INSTALLED or any(folder.glob("*.dist-info"))
