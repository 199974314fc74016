"""What was meant by the name of a setting that does not exist."""

import inspect
import re
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from lit_gan.catalogue.settings import HYDRA_KEYS, TRAINER
from lit_gan.errors import hint
from lit_gan.parts import locate_if_there

SYNONYMS = {
    "learning_rate": "lr",
    "epochs": "updates",
    "max_epochs": "updates",
    "iterations": "updates",
    "steps": "updates",
    "max_steps": "updates",
    "num_workers": "workers",
    "gpus": "devices",
    "dataset": "data",
    "batch": "batch_size",
    "latent_dim": "z_dim",
    "resolution": "image_size",
}
"""What other code bases call a setting, and its name here."""

LISTED = 4
"""The most settings of one name that a sentence lists."""


def suggest_setting(name: str, config: DictConfig, commands: Sequence[str] = ()) -> str:
    """The end of a sentence about a setting that a config does not have: the setting that was
    meant, how it can be added, or its neighbours.

    A setting of the same name elsewhere in the config is what was meant: `lr` is `optim.d.lr` or
    `optim.g.lr`.

    Args:
        commands: the other commands that have a setting of this name.
    """
    parent, _, word = name.rpartition(".")
    neighbours = settings_below(config, parent)
    if word not in SYNONYMS and (owner := owner_of_argument(name, config)):
        return f" in the config, but {owner} takes it: write +{name}=VALUE."
    elsewhere = [each for each in setting_names(config) if is_same_word(each.rpartition(".")[2], word)]
    if elsewhere and word not in neighbours:
        return f"; did you mean {' or '.join(shallowest(elsewhere)[:LISTED])}? --cfg job shows every setting."
    if commands:
        return f" of this command; it is one of {' and '.join(f'python -m lit_gan.{each}' for each in commands)}."
    return hint(SYNONYMS.get(word, word), neighbours)


def owner_of_argument(name: str, config: DictConfig) -> str | None:
    """The class whose argument a name would be, were it added to the config: "torch.optim.Adam" of
    `optim.d.weight_decay`; None if none takes it."""
    parent, _, word = name.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else None
    default = TRAINER if parent == "trainer" else None  # its YAML does not name its class
    target = node.get("_target_", default) if isinstance(node, DictConfig) else None
    owner = locate_if_there(target) if target else None
    return target if owner and word in inspect.signature(owner).parameters else None


def shallowest(names: list[str]) -> list[str]:
    """The full names with the fewest parts: `model.width` sets `model.G.width` and
    `model.D.width`."""
    fewest = min(name.count(".") for name in names)
    return [name for name in names if name.count(".") == fewest]


def settings_below(config: DictConfig, parent: str) -> list[str]:
    """The keys below a key of a config; those at its top if there is nothing below the key."""
    node = OmegaConf.select(config, parent) if parent else config
    return sorted(map(str, node if isinstance(node, DictConfig) else config))


def setting_names(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """The full names of all settings, those at the top first; how an object is made is none."""
    nodes = {name: config._get_node(name) for name in config if name not in HYDRA_KEYS}
    yield from (f"{prefix}{name}" for name, node in nodes.items() if not isinstance(node, DictConfig))
    for name, node in nodes.items():
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from setting_names(node, f"{prefix}{name}.")


def is_same_word(name: str, word: str) -> bool:
    """Whether two names are synonyms, or differ in underscores, hyphens and capitals alone."""
    return letters_and_digits(name) in (letters_and_digits(word), letters_and_digits(SYNONYMS.get(word, word)))


def letters_and_digits(word: str) -> str:
    """The letters and digits of a word, in lower case."""
    return re.sub(r"[\W_]", "", word).lower()
