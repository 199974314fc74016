"""What torch does not know of and so neither trains nor saves: layers and parameters in plain lists, state that is no
buffer, and parameters that no optimizer has."""

from collections import deque
from collections.abc import Iterable, Iterator, ValuesView
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from lit_gan.errors import UserError, is_own, path_of

Part = nn.Module | Tensor


def check_registered(*owners: nn.Module) -> None:
    """Refuses networks and terms of one's own with layers or parameters that are to learn and that torch
    neither trains, nor moves to a device, nor saves.

    Lists of what is registered in any of them are fine.

    Raises:
        UserError: names the class and the attribute.
    """
    modules = [module for owner in owners for module in owner.modules()]
    known = {id(part) for module in modules for part in (module, *module.parameters(), *module.buffers())}
    for module in (each for each in modules if is_own(type(each))):
        for name, value in vars(module).items():
            lost = next((part for part in held(value, set()) if is_lost(part, known)), None)
            if (lost is not None and lost is not value) or isinstance(lost, Tensor):
                raise UserError(f"{path_of(module)}.{name} {why_lost(lost, value)}.")


def held(value: Any, seen: set[int]) -> Iterator[Part]:
    """The layers and tensors in a plain value or in an object of one's own, or the one that it is.

    Args:
        seen: the values that have been looked into.
    """
    if isinstance(value, Part):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        inside = vars(value) if is_own(type(value)) and hasattr(value, "__dict__") else value
        inside = inside.values() if isinstance(inside, dict) else inside
        for part in inside if isinstance(inside, list | tuple | set | deque | ValuesView) else ():
            yield from held(part, seen)


def is_lost(part: Part, known: set[int]) -> bool:
    """Whether something unknown learns, remembers, or must be told whether it is in training.

    What has frozen parameters alone can lie in a list so that no checkpoint is made larger by it.
    """
    if id(part) in known:
        return False
    if isinstance(part, Tensor):
        return part.is_leaf and part.requires_grad
    if parameters := list(part.parameters()):
        return any(parameter.requires_grad and id(parameter) not in known for parameter in parameters)
    if any(id(buffer) not in known for buffer in part.buffers()):
        return True
    return any(isinstance(layer, _DropoutNd) for layer in part.modules())


def why_lost(part: Part, value: Any) -> str:
    """The sentence about an attribute of a module, its value, that holds what torch does not know of."""
    unknown = "of which torch does not know, so that it would be neither trained nor moved to a device nor saved"
    if part is value:
        return f"is a tensor that requires a gradient, {unknown}: make it an nn.Parameter, or requires_grad_(False)"
    learns = " that requires a gradient" if isinstance(part, Tensor) else ""
    ways = "nn.ParameterList" if isinstance(part, Tensor) else "nn.ModuleList, nn.ModuleDict or nn.Module"
    return (
        f"holds a {type(part).__name__}{learns} in a plain {type(value).__name__}, {unknown}: make that an {ways}, or, "
        f"if it is to stay as it is, requires_grad_(False)"
    )


def untrained(terms: nn.Module, optimizers: Iterable[Optimizer]) -> list[str]:
    """The names of parameters of the loss or of regularizers that are to learn and that no optimizer has."""
    trained = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
    return [name for name, p in terms.named_parameters() if p.requires_grad and id(p) not in trained]


MOVED = ("training", "weight")
"""What Lightning and callbacks set, whatever a checkpoint has."""

State = dict[str, tuple[Any, int | None]]


def plain_state(*owners: nn.Module) -> State:
    """The numbers, and the tensors with their versions, that modules of one's own have beside parameters and
    buffers, by class and attribute; None where there may be one later."""
    modules = [module for owner in owners for module in owner.modules() if is_own(type(module))]
    return {
        f"{path_of(module)}.{name}": (value, getattr(value, "_version", None))
        for module in modules
        if type(module).get_extra_state is nn.Module.get_extra_state
        for name, value in vars(module).items()
        if name not in MOVED
        and (value is None or (isinstance(value, Tensor | int | float) and not getattr(value, "requires_grad", False)))
    }


def changed(before: State, after: State) -> list[str]:
    """The names of what has become another number or tensor, or a tensor of other numbers."""
    both = [(name, before[name], now) for name, now in after.items() if name in before and now[0] is not None]
    return [name for name, old, now in both if now[1] != old[1] or not is_same(old[0], now[0])]


def is_same(old: Any, now: Any) -> bool:
    """Whether two tensors are one, or two numbers equal."""
    return old is now if isinstance(old, Tensor) or isinstance(now, Tensor) else old == now
