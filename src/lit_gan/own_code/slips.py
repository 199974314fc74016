"""What is written in a class of one's own and would be ignored without a word."""

import ast
import difflib
import inspect
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from lit_gan.errors import UserError, hint, is_own, is_shipped, path_of

log = logging.getLogger("lit_gan")

NEAR = 0.8
"""How alike, from 0 to 1, two names are of which one may be the other misspelt."""


def check_slips(thing: Any) -> None:
    """Refuses an object of one's own class whose constructor takes an argument which the inherited one would have
    needed, and says which of its names may be inherited ones misspelt: nobody knows for sure.

    Raises:
        UserError: names the class and the argument.
    """
    own = own_classes(thing)
    for name in (name for each in own for name in vars(each)):
        if not name.startswith("_") and (meant := misspelt(name, thing)) and not is_used(name, own):
            log.warning(
                f"{path_of(thing)}.{name} is no name of the class that it inherits from, and used by nothing in its "
                f"file; did you mean '{meant}'?"
            )
    for argument in kept_back(thing) if own else ():
        raise UserError(
            f"the constructor of {path_of(thing)} takes {argument} and does nothing with it: hand it on, as in "
            f"super().__init__({argument}={argument})."
        )


def own_classes(thing: Any) -> list[type]:
    """The classes of one's own that an object is of, the most special one first."""
    return [each for each in type(thing).__mro__ if is_own(each)]


def inherited(thing: Any) -> list[type]:
    """The classes that are not of one's own, but for torch's module and its like, which have hundreds of names."""
    return [each for each in type(thing).__mro__ if not is_own(each) and each.__module__ not in UNRELATED]


UNRELATED = ("builtins", "torch.nn.modules.module")


def misspelt(name: str, thing: Any) -> str | None:
    """The inherited name of a like thing, method or value, that nobody has written and that a name is nearly the same
    as; None if there is none."""
    written = {each for kind in own_classes(thing) for each in vars(kind)}
    known = {each: value for kind in inherited(thing) for each, value in vars(kind).items() if not each.startswith("_")}
    if name in known:
        return None
    value = inspect.getattr_static(type(thing), name)
    likes = sorted(each for each in known.keys() - written if type(known[each]) is type(value))
    by_letters = {each.lower(): each for each in likes}
    near = difflib.get_close_matches(name.lower(), by_letters, n=1, cutoff=NEAR)
    return by_letters[near[0]] if near else None


def is_used(name: str, kinds: Sequence[type]) -> bool:
    """Whether the modules of classes use one of their names, or may do so, as their source is not to be had.

    A single letter is that of other things as well, as in `turn.D`.
    """
    sources = [source_of(sys.modules.get(kind.__module__)) for kind in kinds]
    word = rf"{'self' if len(name) == 1 else ''}\.{name}\b"
    return any(source is None or re.search(word, source) for source in sources)


def kept_back(thing: Any) -> list[str]:
    """The optional arguments of lit_gan's constructor that one's own takes too, and does not look at.

    One that is handed on with a value of its own, prior="uniform", is no slip.
    """
    constructor, base = vars(type(thing)).get("__init__"), inherited(thing)
    body = body_of(constructor) if constructor and base and is_shipped(base[0]) and is_own(type(thing)) else None
    if body is None:
        return []
    nodes = [node for each in body for node in ast.walk(each)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.arg for node in nodes if isinstance(node, ast.keyword)
    }
    taken = inspect.signature(constructor).parameters.keys() - used
    wanted = inspect.signature(base[0].__init__).parameters
    return [name for name, each in wanted.items() if name in taken and has_default(each) and "locals" not in used]


def has_default(argument: inspect.Parameter) -> bool:
    """Whether an argument can be left out."""
    return argument.default is not inspect.Parameter.empty


def check_acts(term: Any, base: type, methods: Sequence[str]) -> None:
    """Refuses a term of one's own class that has nothing of what its base class lets it have.

    Raises:
        UserError: names the class, what it has and what there is.
    """
    kinds = type(term).__mro__[: type(term).__mro__.index(base)]
    names = [name for kind in kinds for name in vars(kind) if not name.startswith("_")]
    if not own_classes(term) or {*names, *vars(term)} & {name for kind in inherited(term) for name in vars(kind)}:
        return
    has = f"has {', '.join(names)}, but" if names else "has"
    raise UserError(
        f"{path_of(term)} {has} none of the methods of a {base.__name__}, so that it does nothing"
        f"{hint(names[0] if names else '', methods)}"
    )


def check_returns(thing: Any, methods: Sequence[str]) -> None:
    """Says which methods of one's own end with a value that they do not return, and never return any."""
    for name in methods:
        body = body_of(getattr(type(thing), name)) if any(name in vars(each) for each in own_classes(thing)) else None
        if body and is_thrown_away(body[-1]) and not any(map(returns, body)):
            log.warning(
                f"{path_of(thing)}.{name} returns nothing, so that it adds no term; if it is to add one, end it in "
                f"return."
            )


def is_thrown_away(last: ast.stmt) -> bool:
    """Whether the last statement of a function, or of its last block, computes a value that nobody keeps."""
    if isinstance(last, ast.If | ast.For | ast.With):
        return is_thrown_away(last.body[-1])
    if isinstance(last, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = last.targets if isinstance(last, ast.Assign) else [last.target]
        return all(isinstance(target, ast.Name) for target in targets)
    value = last.value if isinstance(last, ast.Expr) else None
    return isinstance(value, ast.BinOp) or getattr(getattr(value, "func", None), "attr", None) in ("mean", "sum")


def returns(statement: ast.stmt) -> bool:
    """Whether a statement gives something back somewhere."""
    return any(isinstance(node, ast.Return) and node.value for node in ast.walk(statement))


def source_of(thing: ModuleType | Callable | None) -> str | None:
    """The source of a module or function; None where it is not to be had, as in an interpreter."""
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        return None


def body_of(function: Callable) -> list[ast.stmt] | None:
    """The statements of a function; None where its source is not to be had."""
    try:
        node = ast.parse(source_of(inspect.unwrap(function)) or "").body
    except SyntaxError:  # a lambda, in the midst of an expression
        return None
    return node[0].body if node and isinstance(node[0], ast.FunctionDef) else None
