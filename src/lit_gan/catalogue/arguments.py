"""The arguments of classes and functions: what their docstrings say of them, and what values they
take."""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lit_gan.errors import one_line
from lit_gan.ranges import KINDS, argument_ranges


@dataclass(frozen=True)
class Arguments:
    """The arguments of a class or function; of None, which stands for settings that are read by
    name, nothing is known.

    Attributes:
        owner: the class or function.
    """

    owner: Callable | None

    def meaning(self, name: str, comment: str) -> str:
        """What an argument does: by the docstring of the owner or of a class that it inherits from,
        else by a comment.

        The docstrings of other libraries come last, and of them the first sentence.
        """
        owners = inspect.getmro(self.owner) if inspect.isclass(self.owner) else [self.owner]
        explaining = next((owner for owner in owners if name in documented(owner)), None)
        text = documented(explaining).get(name, "")
        return comment or text.split(". ")[0] if is_foreign(explaining) else text or comment

    def range(self, name: str) -> str:
        """The values that an argument can have, in words; the empty string where nothing says
        so."""
        if self.owner is None:
            return ""
        ranges = {} if is_foreign(self.owner) else argument_ranges(self.owner)
        return str(ranges[name]) if name in ranges else in_words(types_of(self.owner).get(name))


FOREIGN = ("torch", "torchvision", "lightning")
"""Other libraries whose classes the configs name."""


def is_foreign(owner: Callable | None) -> bool:
    """Whether a class or function belongs to another library."""
    return owner is not None and owner.__module__.split(".")[0] in FOREIGN


@functools.cache
def documented(owner: Callable | None) -> dict[str, str]:
    """The arguments that a docstring explains, in its section "Args:" or below a dataclass's
    fields."""
    if owner is None or owner is object:
        return {}
    init = vars(owner).get("__init__") if inspect.isclass(owner) else None
    texts = [owner.__doc__, getattr(init, "__doc__", None)]
    fields = dict(field_docstrings(owner)) if hasattr(owner, "__dataclass_fields__") else {}
    return fields | {name: text for doc in texts if doc for name, text in arguments_section(inspect.cleandoc(doc))}


def arguments_section(docstring: str) -> Iterator[tuple[str, str]]:
    """The entries of the section "Args:" of a docstring in Google's style; `a, b: text` is one for
    each."""
    section = re.search(r"^Args:\s*\n((?:[ \t]+.*\n?|[ \t]*\n)+)", docstring, re.MULTILINE)
    text = textwrap.dedent(section[1]) if section else ""
    for entry in re.split(r"\n(?=\S)", text):
        names, colon, meaning = entry.partition(":")
        if colon:
            yield from ((name.split("(")[0].strip(" *"), one_line(meaning)) for name in names.split(","))


def field_docstrings(owner: type) -> Iterator[tuple[str, str]]:
    """The fields of a dataclass that have a string below them."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    for field, below in zip(body.body, body.body[1:], strict=False):
        text = getattr(getattr(below, "value", None), "value", None)
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(text, str):
            yield field.target.id, one_line(text)


@functools.cache
def types_of(owner: Callable) -> dict[str, Any]:
    """The annotations of the arguments of a class or function; empty where Python cannot read
    them."""
    try:
        return get_type_hints(inspect.unwrap(owner.__init__) if inspect.isclass(owner) else owner)
    except (NameError, TypeError):
        return {}


def in_words(annotation: Any) -> str:
    """The values of a type, as far as they can be written on a command line."""
    kind, members = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return " or ".join(map(str, members))
    if kind in (Union, UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(in_words, members))))
    if (inspect.isclass(kind) and issubclass(kind, tuple | list)) or (kind is not None and "Sequence" in str(kind)):
        return "a list"
    return KINDS.get(annotation, "")
