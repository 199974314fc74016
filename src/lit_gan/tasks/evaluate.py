"""Scores of a run after its training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig
from rich.markup import escape
from rich.table import Table

from lit_gan.build import build_protocol, choose_device
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.figures.pictures import render
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.module import GAN
from lit_gan.records.directory import check_writable, load_config
from lit_gan.records.lock import check_free
from lit_gan.records.results import Results
from lit_gan.records.score_names import footnotes, format_score, split_names
from lit_gan.sampling import Sampler
from lit_gan.settings import EVALUATE, check_settings
from lit_gan.system.console import plain_console
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_gan


def evaluate(config: DictConfig) -> None:
    """Every checkpoint asked for under every protocol asked for, each record on disk as soon as it is there.

    Raises:
        UserError: whatever the user can put right, all of it before the first score.
    """
    directory = chosen_run(config)
    check_settings(config, EVALUATE)
    device = choose_device(config.device)
    trained = load_config(directory)
    check_writable(directory)
    check_free(directory)
    results = Results(directory)
    protocols = [adjusted(config, name) for name in as_list(config, "protocols")]
    checkpoints = {name: load_gan(trained, directory, name) for name in as_list(config, "checkpoint")}
    suite, source = build_suite(config, trained), moved_source(config, trained)
    source.require_names(results.content.get("class_names"))
    suite.prepare(source, device)
    for protocol in protocols:
        suite.measure_real(source, protocol)
    for checkpoint, (gan, update) in checkpoints.items():
        for protocol in protocols:
            record = measure(gan.to(device), suite, source, protocol, update, checkpoint, by_class=True)
            show(record, source.class_names)
            results.add_evaluation(record)
        save_classes(gan, source, directory / "samples" / f"{checkpoint}_by_class")


def save_classes(gan: GAN, source: Source, path: Path) -> None:
    """Ten samples of each class in a row, where G looks at labels."""
    sampler = Sampler(gan.generator(ema=True))
    if sampler.n_classes is not None:
        render(source, *sampler.grid(10 * sampler.n_classes), source.class_names).save(path)


def as_list(config: DictConfig, name: str) -> list:
    """A setting's value or values.

    Raises:
        UserError: an empty list.
    """
    value = config[name]
    if value == []:
        raise UserError(f"{name}=[] names nothing to evaluate: leave it out or name at least one.")
    return list(value) if isinstance(value, ListConfig) else [value]


def build_suite(config: DictConfig, trained: DictConfig) -> Suite:
    """The metrics that the command line asks for, else the run's own.

    Raises:
        UserError: there are none.
    """
    suite = instantiate(config.metrics.suite if "suite" in config.metrics else trained.metrics.suite)
    if suite is None:
        owner = "the command line asks for" if "suite" in config.metrics else f"run={config.run} has"
        raise UserError(
            f"{owner} metrics=none, so there is nothing to score: choose metrics=..., one of classifier, "
            f"efficientnet_lite0, inception and dinov2 for images, and modes for points."
        )
    return suite


def adjusted(config: DictConfig, name: str) -> EvalProtocol:
    """A protocol with the number of images and the weights that the command line asks for."""
    protocol = build_protocol(config, name)
    if config.generated is not None:
        protocol = protocol.with_generated(config.generated)
    return protocol if config.ema is None else replace(protocol, ema=config.ema)


def show(record: dict[str, Any], class_names: Sequence[str] | None = None) -> None:
    """A line for each score, and for each class where there are scores of classes."""
    extractor, short = split_names(record["scores"])
    title = f"{record['checkpoint']}.ckpt, update {record['update']}, {record['weights']} weights"
    measured_by = ", ".join(filter(None, [extractor, f"protocol {record['protocol']['name']}"]))
    table = Table("score", "value", title=f"{title}, {measured_by}")
    for name, value in record["scores"].items():
        table.add_row(short[name], format_score(value, name in record.get("caveats", {})))
    console = plain_console()
    console.print(table)
    for line in footnotes(record):
        console.print(line, highlight=False, soft_wrap=True)
    if record["classes"]:
        table = Table("class", *record["classes"], title="within the classes")
        for label, values in enumerate(zip(*record["classes"].values(), strict=True)):
            name = str(label) if class_names is None else escape(f"{label} {class_names[label]}")
            table.add_row(name, *("" if value is None else format_score(value) for value in values))
        plain_console().print(table)
