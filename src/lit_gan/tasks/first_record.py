"""What `results.json` says of a run from its beginning on."""

from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from lit_gan.data import Source
from lit_gan.parts import selected
from lit_gan.records.paths import path_settings, with_whole_path
from lit_gan.tasks.prescribed import departures

LISTS = ("reg", "logger")
"""Config groups of several choices; the config itself says which of them are in it."""


def facts_of_run(config: DictConfig, source: Source, trainer: Trainer) -> dict[str, Any]:
    """The entries of `results.json` that are known before the first update."""
    hydra, paths = HydraConfig.get(), path_settings(config)
    choices = hydra.runtime.choices
    return {
        "updates_planned": config.updates,
        "seed": config.seed,
        "choices": choices_of_run(config),
        "overrides": [with_whole_path(override, paths) for override in hydra.overrides.task],
        "warnings": [*departures(config, choices), *without_effect(config)],
        "device": device_name(trainer.strategy.root_device),
        "precision": trainer.precision,
        "class_names": source.class_names,
    }


def without_effect(config: DictConfig) -> list[str]:
    """A sentence on an end of the learning rates' decay, and on a moving average of G, that never begin."""
    sentences, updates = [], config.updates
    start, end = (OmegaConf.select(config, f"optim.decay_{place}") for place in ("start", "end"))
    if start is None and end not in (None, updates):
        sentences += [f"optim.decay_end={end} changes nothing without optim.decay_start: set that, or leave it out."]
    if (ema_start := OmegaConf.select(config, "ema_start")) is not None and ema_start >= updates:
        sentences += [f"ema_start={ema_start} is not before updates={updates}: what is scored is G as it trains."]
    return sentences


def choices_of_run(config: DictConfig) -> dict[str, Any]:
    """The choice of each config group, or the list of them."""
    return own_choices(HydraConfig.get().runtime.choices) | {name: selected(config[name]) for name in LISTS}


def own_choices(choices: DictConfig) -> dict[str, Any]:
    """The choices of the package's config groups.

    Hydra's own groups are left out, and second choices of a group, as `optim@prescribed.optim`.
    """
    return {group: choice for group, choice in choices.items() if "hydra" not in group and "@" not in group}


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
