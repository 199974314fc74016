"""Objects from the parts of a config that name a class or function by `_target_`."""

import difflib
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra._internal.utils import _locate
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_gan.errors import UserError, faulty_line, one_line
from lit_gan.own_code.slips import check_slips
from lit_gan.system.memory import ran_out, shortage


def build_part(part: DictConfig | None, kind: type = object) -> Any:
    """The object that a part of a config describes; None for None.

    Args:
        kind: the class that the object must be of.

    Raises:
        UserError: it names no class or one of another kind, or cannot be imported or made; the sentence
            has the full key of the part.
    """
    if part is not None and "_target_" not in part:
        raise UserError(f'{part._get_full_key("") or "the config"} names no class: give it "_target_: MODULE.CLASS".')
    try:
        made = instantiate(part)
    except InstantiationException as error:
        raise UserError(why_not_built(error)) from error
    if part is not None and not isinstance(made, kind):
        raise UserError(
            f"{part._get_full_key('')}._target_={part._target_} makes no {kind.__name__}: "
            f"let its class inherit from {kind.__module__}.{kind.__name__}."
        )
    if part is not None and not hasattr(made, getattr(kind, "set_by_constructor", "__class__")):
        raise UserError(
            f"{part._get_full_key('')}._target_={part._target_} never calls the constructor of {kind.__name__}: "
            f"begin its __init__ with super().__init__(...)."
        )
    check_slips(made)
    return made


def selected(group: DictConfig) -> list[str]:
    """The names of the chosen entries of a group that takes several, such as `reg`.

    An experiment or a method may hold settings for an entry that the command line has deselected;
    these name no class.
    """
    return [name for name, entry in group.items() if "_target_" in entry]


def locate(target: Any) -> Callable:
    """The class or function that a `_target_` names.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        return _locate(target)  # as `instantiate` finds it; Hydra's public way to it also logs what is not there
    except Exception as error:  # whatever a module of one's own raises when it is imported
        place = faulty_line(innermost(error))
        way_out = f"mend {place}" if place else "correct the name in its YAML file"
        raise UserError(f"_target_: {target} cannot be imported ({one_line(str(error))}): {way_out}.") from error


def locate_if_there(target: Any) -> Callable | None:
    """The class or function that a `_target_` names; None if it cannot be imported, which is answered
    when it is to be called."""
    try:
        return locate(target)
    except UserError:
        return None


def why_not_built(error: InstantiationException) -> str:
    """The sentence for a part that cannot be made: which, and why.

    Hydra's exception holds its text alone, so that the class and the key are read out of that.
    """
    message, cause = str(error), innermost(error)
    target, key = (re.search(pattern, message) for pattern in (r"target '([^']*)'", r"full_key: (\S+)"))
    key = key[1] if key else "the config"
    if "Error locating" in message:
        return f"{key}._target_={target[1]} cannot be imported: {why_not_imported(target[1], cause)}."
    if isinstance(cause, UserError):
        names_it = re.search(rf"\b{key.split('.')[0]}[.=]", str(cause))
        return str(cause) if names_it else f"{key} cannot be made with its present settings: {cause}"
    if ran_out(cause):
        return f"{key} cannot be made as large as that: {shortage(cause)}; lower the setting that says how large it is."
    reason = f"{key} cannot be made with its present settings: {one_line(str(cause))}"
    if place := faulty_line(cause):
        kind = type(cause).__name__
        return f"{reason} ({kind} in {place}): correct a setting or that line; debug=true shows the way there."
    return f"{reason}, so correct the one named."


def innermost(error: BaseException) -> BaseException:
    """The exception from which all others of a chain were raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def why_not_imported(target: str, cause: BaseException) -> str:
    """Why a class cannot be imported, and what to do about it: its module is nowhere, holds no such
    class, or has a mistake itself."""
    if place := faulty_line(cause):
        reason = cause.msg if isinstance(cause, SyntaxError) else one_line(str(cause)) or type(cause).__name__
        return f"{reason}; mend {place}"
    module, _, name = target.rpartition(".")
    if module in sys.modules:
        return f"{module_file(module)} has no {name}; it has {names_in(name, sys.modules[module])}"
    top = target.split(".")[0]
    elsewhere = f", or say where {top}.py lies: start in its folder, or set PYTHONPATH=FOLDER"
    found = top in sys.modules or find_spec(top)
    return f"{one_line(str(cause))}, so correct the name{'' if found else elsewhere}"


def module_file(module: str) -> str:
    """How one calls the file of a module: "my_losses.py"; the module itself where it is a package."""
    is_package = hasattr(sys.modules[module], "__path__")
    return module if is_package else Path(getattr(sys.modules[module], "__file__", None) or module).name


LISTED = 8
"""The most classes of a module that a sentence lists."""


def names_in(name: str, module: ModuleType) -> str:
    """The classes and functions of a module that a name may have meant, or some that it has."""
    own = [each for each, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    known = own or [each for each in vars(module) if not each.startswith("_")]
    return ", ".join(difflib.get_close_matches(name, known) or known[:LISTED]) or "nothing"
