"""What a word of the command line can be: the choices of the config groups and the settings, and what was meant."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

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
"""Of the settings with one name, so many are named in a sentence."""


def package_folders() -> list[Path]:
    """The folders of the configs and sweeps that the package ships."""
    import lit_gan.conf
    import lit_gan.sweeps

    return [Path(package.__file__).parent for package in (lit_gan.conf, lit_gan.sweeps)]


def choices(group: str, own: Sequence[Path] = ()) -> list[str]:
    """The files of a config group, in the package's configs and sweeps and in folders of one's own."""
    return sorted({path.stem for folder in [*package_folders(), *own] for path in (folder / group).glob("*.yaml")})


def default_choices(config_name: str) -> dict[str, Any]:
    """The default choice of each group of a primary config: {"model": "dcgan", "reg": ["spectral"], "sweep": None}."""
    path = package_folders()[0] / f"{config_name}.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("defaults", [])
    groups = [entry for entry in entries if isinstance(entry, dict)]
    return {name: choice for entry in groups for name, choice in entry.items() if not name.startswith("override ")}


def hint(word: str, known: list[str]) -> str:
    """The end of a sentence about a wrong word: the nearest known word, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else "."
    return f"{meant} There are: {', '.join(known)}." if known else meant


def instead_of(name: str, config: DictConfig) -> str:
    """The end of a sentence about a setting that a config does not have: the setting that was meant, or its neighbours.

    A setting of the same name elsewhere in the config is what was meant: `lr` is `optim.d.lr` or `optim.g.lr`.
    """
    parent, _, word = name.rpartition(".")
    neighbours = settings_below(config, parent)
    elsewhere = [each for each in leaves(config) if is_same_word(each.rpartition(".")[2], word)]
    if elsewhere and word not in neighbours:
        return f"; did you mean {' or '.join(shallowest(elsewhere)[:LISTED])}? --cfg job shows every setting."
    return hint(SYNONYMS.get(word, word), neighbours)


def shallowest(names: list[str]) -> list[str]:
    """The full names with the fewest parts: `model.width` sets `model.G.width` and `model.D.width`."""
    fewest = min(name.count(".") for name in names)
    return [name for name in names if name.count(".") == fewest]


def settings_below(config: DictConfig, parent: str) -> list[str]:
    """The keys below a key of a config; those at its top if there is nothing below the key."""
    node = OmegaConf.select(config, parent) if parent else config
    return sorted(map(str, node if isinstance(node, DictConfig) else config))


def leaves(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """The full names of all settings, those at the top first."""
    nodes = {name: config._get_node(name) for name in config}
    yield from (f"{prefix}{name}" for name, node in nodes.items() if not isinstance(node, DictConfig))
    for name, node in nodes.items():
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{name}.")


def is_same_word(name: str, word: str) -> bool:
    """Whether two names of settings differ in underscores, hyphens and capitals alone, or are synonyms."""
    return plain(name) in (plain(word), plain(SYNONYMS.get(word, word)))


def plain(word: str) -> str:
    """Letters and digits alone, in lower case."""
    return re.sub(r"[\W_]", "", word).lower()


def composed(config_name: str, overrides: list[str]) -> DictConfig:
    """A config with as many of the overrides as can be composed together, in their order."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        kept, config = [], hydra.compose(config_name)
        for override in overrides:
            try:
                config = hydra.compose(config_name, [*kept, override])
                kept.append(override)
            except (HydraException, OmegaConfBaseException, ValueError):  # what the sentence is about
                continue
        return config
