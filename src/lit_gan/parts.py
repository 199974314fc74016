"""Objects from the parts of a config that name a class or function by `_target_`."""

import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from hydra._internal.utils import _locate
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_gan.errors import UserError, one_line


def build_part(part: DictConfig | None) -> Any:
    """The object that a part of a config describes; None for None.

    Raises:
        UserError: it cannot be imported or made; the sentence has the full key of the part that
            cannot.
    """
    try:
        return instantiate(part)
    except InstantiationException as error:
        raise UserError(why_not_built(error)) from error


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
        reason = one_line(str(error))
        raise UserError(
            f"_target_: {target} cannot be imported ({reason}): correct the name in its YAML file."
        ) from error


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
        return f"{key}._target_={target[1]} cannot be imported: {one_line(str(cause))}, so {import_advice(target[1])}."
    if isinstance(cause, UserError):
        names_it = re.search(rf"\b{key.split('.')[0]}[.=]", str(cause))
        return str(cause) if names_it else f"{key} cannot be made with its present settings: {cause}"
    return f"{key} cannot be made with its present settings: {one_line(str(cause))}, so correct the one named."


def innermost(error: BaseException) -> BaseException:
    """The exception from which all others of a chain were raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def import_advice(target: str) -> str:
    """What to do about a class that cannot be imported: its module is nowhere, or holds no such
    class."""
    module = target.split(".")[0]
    if module in sys.modules or find_spec(module):
        return "correct the name"
    return f"correct the name, or say where {module}.py lies: start in its folder, or set PYTHONPATH=FOLDER"
