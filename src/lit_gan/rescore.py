"""Scores of a run after its training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from lit_gan.build import build_protocol, build_source, choose_device, with_generated
from lit_gan.measure import measure
from lit_gan.metrics import Protocol
from lit_gan.results import Results
from lit_gan.run_directory import load_config, load_gan
from lit_gan.summary import format_score


def rescore(config: DictConfig) -> None:
    """Every checkpoint asked for under every protocol asked for, each record on disk as soon as it is there."""
    trained = load_config(config.run)
    OmegaConf.set_struct(trained, False)
    if config.data.root is not None:
        trained.data.root = config.data.root
    source, results = build_source(trained), Results(Path(config.run))
    suite = instantiate(config.metrics.suite if "suite" in config.metrics else trained.metrics.suite)
    for checkpoint in as_list(config.checkpoint):
        gan, update = load_gan(trained, config.run, checkpoint)
        gan.to(choose_device(config.device))
        for name in as_list(config.protocols):
            record = measure(gan, suite, source, adjusted(config, name), update, checkpoint)
            results.content["evaluations"].append(record)
            results.save()
            show(record)


def as_list(value: Any) -> list:
    """One value or several, as a list."""
    return list(value) if isinstance(value, ListConfig) else [value]


def adjusted(config: DictConfig, name: str) -> Protocol:
    """A protocol with the number of images and the weights that the command line asks for."""
    protocol = build_protocol(config, name)
    if config.generated is not None:
        protocol = with_generated(protocol, config.generated)
    return protocol if config.ema is None else replace(protocol, ema=config.ema)


def show(record: dict[str, Any]) -> None:
    """One line of scores."""
    title = f"{record['checkpoint']}.ckpt, update {record['update']}, {record['weights']} weights"
    table = Table(*record["scores"], title=f"{title}, protocol {record['protocol']['name']}")
    table.add_row(*(format_score(value) for value in record["scores"].values()))
    Console().print(table)
