"""`python -m lit_gan.evaluate`: the scores of a run after its training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from lit_gan.parts import build_part
from lit_gan.records.directory import check_writable, load_config
from lit_gan.records.lock import check_free
from lit_gan.records.results import Record, Results
from lit_gan.records.score_names import footnotes, format_score, split_names
from lit_gan.sampling import Sampler
from lit_gan.settings import EVALUATE, check_config
from lit_gan.system.console import plain_console
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_gan


def evaluate(config: DictConfig) -> None:
    """Scores each chosen checkpoint of a run under each chosen protocol, and adds the records to
    its results at once.

    Raises:
        UserError: something that the user can put right, before the first score is taken.
    """
    directory = chosen_run(config)
    check_config(config, EVALUATE)
    device = choose_device(config.device)
    trained = load_config(directory)
    check_writable(directory)
    check_free(directory)
    results = Results(directory)

    protocols = [chosen_protocol(config, name) for name in values_of(config, "protocols")]
    checkpoints = {name: load_gan(trained, directory, name) for name in values_of(config, "checkpoint")}
    suite = chosen_suite(config, trained)
    source = moved_source(config, trained)
    source.require_names(results.content.get("class_names"))
    suite.prepare(source, device)
    for protocol in protocols:
        suite.measure_real(source, protocol)

    for name, (gan, update) in checkpoints.items():
        for protocol in protocols:
            record = measure(gan.to(device), suite, source, protocol, update, name, by_class=True)
            print_record(record, source.class_names)
            results.add_evaluation(record)
        save_class_grid(gan, source, directory / "samples" / f"{name}_by_class")


def values_of(config: DictConfig, name: str) -> list[str]:
    """The value of a setting, or its values, as a list.

    Raises:
        UserError: the list is empty.
    """
    value = config[name]
    if value == []:
        raise UserError(f"{name}=[] names nothing to evaluate: leave it out or name at least one.")
    return list(value) if isinstance(value, ListConfig) else [value]


def chosen_protocol(config: DictConfig, name: str) -> EvalProtocol:
    """A protocol with the number of samples and the weights that the command line asks for."""
    protocol = build_protocol(config, name)
    if config.generated is not None:
        protocol = protocol.with_generated(config.generated)
    return protocol if config.ema is None else replace(protocol, ema=config.ema)


def chosen_suite(config: DictConfig, trained: DictConfig) -> Suite:
    """The metrics that the command line asks for, or else the run's own.

    Raises:
        UserError: there are none.
    """
    suite = build_part(config.metrics.suite if "suite" in config.metrics else trained.metrics.suite)
    if suite is None:
        owner = "the command line asks for" if "suite" in config.metrics else f"run={config.run} has"
        raise UserError(
            f"{owner} metrics=none, so there is nothing to score: choose metrics=..., one of classifier, "
            f"efficientnet_lite0, inception and dinov2 for images, and modes for points."
        )
    return suite


def print_record(record: Record, class_names: Sequence[str] | None = None) -> None:
    """Prints the scores of a record, with what their stars mean, and those within the classes where
    there are any."""
    console = plain_console()
    console.print(record_table(record))
    for line in footnotes(record):
        console.print(line, highlight=False, soft_wrap=True)
    if record["classes"]:
        console.print(class_table(record["classes"], class_names))


def record_table(record: Record) -> Table:
    """A row for each score; the title says what was scored and how."""
    extractor, short = split_names(record["scores"])
    title = f"{record['checkpoint']}.ckpt, update {record['update']}, {record['weights']} weights"
    measured_by = ", ".join(filter(None, [extractor, f"protocol {record['protocol']['name']}"]))
    table = Table("score", "value", title=f"{title}, {measured_by}")
    for name, value in record["scores"].items():
        table.add_row(short[name], format_score(value, name in record.get("caveats", {})))
    return table


def class_table(classes: dict[str, Any], class_names: Sequence[str] | None) -> Table:
    """A row for each class, a column for each score; a class without such a score has an empty
    cell."""
    table = Table("class", *classes, title="within the classes")
    for label, values in enumerate(zip(*classes.values(), strict=True)):
        name = str(label) if class_names is None else escape(f"{label} {class_names[label]}")
        table.add_row(name, *("" if value is None else format_score(value) for value in values))
    return table


def save_class_grid(gan: GAN, source: Source, path: Path) -> None:
    """Saves a picture with ten samples of each class in a row; nothing if G does not look at
    labels."""
    sampler = Sampler(gan.generator(ema=True))
    if sampler.n_classes is not None:
        render(source, *sampler.grid(10 * sampler.n_classes), source.class_names).save(path)
