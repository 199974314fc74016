"""The settings of a config, held against what they may be before anything is made of them.

The tables name what belongs to a command. What belongs to a class or function
(`reg.spectral.factor`) is annotated there, see `lit_gan.ranges`, and found by the config's
`_target_`: a class from outside the package needs no row here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.base import Node

from lit_gan.errors import UserError, written
from lit_gan.parts import locate_if_there
from lit_gan.ranges import (
    Allowed,
    BatchStatistics,
    Count,
    CountOrNone,
    NonNegative,
    Range,
    Seed,
    Switch,
    Whole,
    WholeOrNone,
    argument_ranges,
    arguments_of_many,
    marked_arguments,
    require,
)

TRAIN = {
    "seed": Seed,
    "updates": Count,
    "updates_per_epoch": Count,
    "batch_size": Count,
    "train_images": CountOrNone,
    "g_batch_size": CountOrNone,
    "ema": Annotated[float | None, Range(0, below=1)],
    "ema_start": WholeOrNone,
    "flips": Switch,
    "dequantize": Switch,
    "channels_last": Switch,
    "compile": Switch,
    "workers": Whole,
    "device_memory": NonNegative,
    "debug": Switch,
    "optim.d.lr": NonNegative,  # torch's optimizers have no annotations that say so
    "optim.g.lr": NonNegative,
    "trainer.log_every_n_steps": Count,
    "trainer.fast_dev_run": Annotated[bool | int, Range(0)],
    "trainer.enable_progress_bar": Switch,
    "logger.wandb.offline": Switch,
}
PRESENTATION = ("apart", "axes", "figure", "label", "prescribed", "scale")
"""The settings of a training that say where it stands in a sweep and how it is shown, not what it
plays."""

OF_A_RUN = {"data.root": str | None, "data.file": str | None, "debug": Switch}
"""The settings of every command that looks at a trained run."""

OF_A_GENERATOR = OF_A_RUN | {"checkpoint": str, "ema": Switch}
"""The settings of one that looks at a single generator of it."""

OF_SAMPLES = OF_A_GENERATOR | {"seed": Seed, "batch_size": Count, "device": str}
"""The settings of one that also draws from it."""

EVALUATE = {
    **OF_A_RUN,
    "sweep": str | None,
    "jobs": Count,
    "generated": Annotated[int | None, Range(2)],
    "ema": bool | None,
    "device": str,
}
SCORE = {
    "generated": Annotated[int | None, Range(2)],
    "device": str,
    "output": str | None,
    "debug": Switch,
}
SAMPLE = {
    **OF_SAMPLES,
    "n": Count,
    "class": Annotated[int | str | None, Range(0)],
    "truncation": Annotated[float | None, Range(above=0)],
    "batch_norm": BatchStatistics,
    "interpolations": Whole,
    "steps": Count,
    "npz": Switch,
    "output": str,
}
ANALYZE = {**OF_SAMPLES, "output": str}
EXPORT = {**OF_A_GENERATOR, "license": str | None, "hub": str | None, "private": Switch, "output": str}
EXPLORE = {
    **OF_SAMPLES,
    "n": Annotated[int, Range(1, most=256)],
    "batch_norm": BatchStatistics,
    "port": Annotated[int | None, Range(1, most=65535)],
}
PACK = {"debug": Switch}
CLASSIFY = {"updates": Count, "seed": Seed, "output": str | None, "debug": Switch}


def check_config(config: DictConfig, settings: Mapping[str, Any]) -> None:
    """Holds a command's config against its table, and everything that it names by `_target_`
    against its annotations.

    Raises:
        UserError: names the first setting with an impossible value, and what it may be.
    """
    check_settings(config, settings)
    for part in parts(config):
        check_arguments(part, locate_if_there(part._get_node("_target_")._value()))


def check_settings(config: DictConfig, settings: Mapping[str, Any]) -> None:
    """Holds the settings that a config has against a table of annotations.

    Raises:
        UserError: names the first setting with an impossible value, and what it may be.
    """
    for name, annotation in settings.items():
        value = OmegaConf.select(config, name, default=...)
        if value is not ...:
            require(name, value, Allowed.by(annotation))


def check_arguments(part: DictConfig, target: Callable | None) -> None:
    """Holds a part of a config against the annotations of the class or function that it is given
    to.

    Raises:
        UserError: names the setting, in full, with an impossible value: where the part refers to
            another setting, as `width: ${model.width}` does, it names that one.
    """
    for name, allowed in argument_ranges(target).items() if target else ():
        node = referred(part._get_node(name, validate_access=False))
        if node is not None and not names_target(node):
            value = node if OmegaConf.is_config(node) and not node._is_none() else node._value()
            require(node._get_full_key(""), value, allowed)
    check_several(part, target)


def check_several(part: DictConfig, target: Callable | None) -> None:
    """Refuses a single number for an argument that takes several, and a pair that is none.

    Raises:
        UserError: names the setting, in full, its value and what it must be.
    """
    for name, many in arguments_of_many(target).items() if target else ():
        node = referred(part._get_node(name, validate_access=False))
        if node is not None and not names_target(node):
            value = node if OmegaConf.is_config(node) and not node._is_none() else node._value()
            if value not in many:
                raise UserError(f"{node._get_full_key('')}={written(value)} must be {many}.")


def marked_settings(config: DictConfig, *marks: type) -> list[str]:
    """The full names of the settings whose arguments have one of some marks of `lit_gan.ranges`;
    where a part refers to another setting, that one's."""
    return list(dict.fromkeys(name for part in parts(config) for name in marked_in(part, marks)))


def marked_in(part: DictConfig, marks: tuple[type, ...]) -> Iterator[str]:
    """Those settings of one part of a config."""
    target = locate_if_there(part._get_node("_target_")._value())
    for name in marked_arguments(target, marks) if target else ():
        node = part._get_node(name, validate_access=False)
        if node is not None:
            yield (referred(node) or node)._get_full_key("")


def parts(node: Node | None) -> Iterator[DictConfig]:
    """Every mapping of a config that names a class or function by `_target_`, at any depth."""
    if (
        not isinstance(node, DictConfig | ListConfig)
        or node._is_none()
        or node._is_missing()
        or node._is_interpolation()
    ):
        return
    if names_target(node):
        yield node
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        yield from parts(node._get_node(key))


def names_target(node: Node) -> bool:
    """Whether a node is a mapping that an object is made of."""
    return isinstance(node, DictConfig) and "_target_" in node


def referred(node: Node | None) -> Node | None:
    """The node whose value a node takes over by interpolation, or itself; None where there is no
    value at all."""
    node = None if node is None else node._maybe_dereference_node(throw_on_resolution_failure=False)
    return None if node is None or node._is_missing() else node
