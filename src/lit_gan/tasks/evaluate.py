"""`python -m lit_gan.evaluate`: the scores of a run, or of all cells of a sweep, after the training."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from lit_gan.build import build_gan, build_protocol, choose_device, complete_metrics
from lit_gan.catalogue.configs import choices
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.figures.pictures import render
from lit_gan.layers import n_classes_of
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import as_recorded, measure
from lit_gan.module import GAN
from lit_gan.parts import build_part
from lit_gan.records.directory import check_writable, load_config
from lit_gan.records.layout import samples_folder
from lit_gan.records.lock import check_free
from lit_gan.records.results import Record, Results, RunRecord
from lit_gan.records.score_names import scores_in_words
from lit_gan.sampling import Sampler
from lit_gan.settings import EVALUATE, check_config
from lit_gan.sweep.score_cells import score_cells, score_side_by_side
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_gan
from lit_gan.tasks.score_tables import print_scores
from lit_gan.tasks.scoring import check_scorable


def evaluate(config: DictConfig) -> None:
    """Scores a run, or all finished cells of a sweep.

    Raises:
        UserError: something that the user can put right; of a run, before the first score is taken.
    """
    if config.sweep is None:
        evaluate_run(config)
    else:
        evaluate_sweep(config)


def evaluate_run(config: DictConfig) -> None:
    """Scores each chosen checkpoint of a run under each chosen protocol, and adds the records to
    its results at once.

    Raises:
        UserError: something that the user can put right, before the first score is taken.
    """
    directory = chosen_run(config)
    check_config(config, EVALUATE)
    if config.jobs > 1:
        raise UserError(f"jobs={config.jobs} is of a sweep, whose cells it scores at once: leave it out with run=DIR.")
    request, trained = Request(config), load_config(directory)
    check_writable(directory)
    check_free(directory)
    class_names = Results(directory).content.get("class_names")
    checkpoints = [LoadedGame(*load_gan(trained, directory, name), name) for name in request.checkpoints]
    instruments = request.instruments(trained, class_names)
    for checkpoint in checkpoints:
        for record in new_records(directory, instruments, checkpoint, request.protocols):
            what = f"{record['checkpoint']}.ckpt, update {record['update']}, {record['weights']} weights"
            print_scores(record, what, instruments.source.class_names)
        path = samples_folder(directory) / f"{checkpoint.name}_by_class"
        save_class_grid(checkpoint.gan, instruments.source, request.protocols[0], path)


def evaluate_sweep(config: DictConfig) -> None:
    """Scores all finished cells of a sweep that have no such scores yet, and adds the records to
    their results at once.

    Raises:
        CellFailed: some cells could not be scored.
        UserError: there is no such sweep, or a setting is impossible.
    """
    if OmegaConf.select(config, "run"):
        raise UserError(f"run={config.run} and sweep={config.sweep} are two things to score: leave one of them out.")
    check_config(config, EVALUATE)
    request = Request(config)
    if config.jobs > 1:
        score_side_by_side(Path(config.sweep), config.jobs, config.device)
    else:
        score_cells(Path(config.sweep), lambda directory: score_cell(directory, request))


class LoadedGame(NamedTuple):
    """A game with the weights of a checkpoint, their generator update, and the checkpoint's name."""

    gan: GAN
    update: int
    name: str


class Instruments(NamedTuple):
    """The metrics and the data that a run is scored with, and the device of both."""

    suite: Suite
    source: Source
    device: torch.device


class Request:
    """What a command line asks to be scored, and how.

    Args:
        config: of the command.

    Raises:
        UserError: there is no such protocol or device.
    """

    def __init__(self, config: DictConfig):
        self.config, self.device = config, choose_device(config.device)
        self.checkpoints: list[str] = values_of(config, "checkpoint")
        self.protocols = [chosen_protocol(config, name) for name in values_of(config, "protocols")]
        self.ready: dict[str, Instruments] = {}

    def instruments(self, trained: DictConfig, class_names: Sequence[str] | None) -> Instruments:
        """The metrics and the data of a run; those of the run before where they are the same.

        Args:
            trained: the run's config.
            class_names: those that the run was trained with.

        Raises:
            UserError: the run has no metrics, or its data cannot be read or scored, or have other
                classes now.
        """
        key = OmegaConf.to_yaml(OmegaConf.create([trained.data, trained.metrics]))
        if key not in self.ready:
            suite, source = chosen_suite(self.config, trained), moved_source(self.config, trained)
            source.require_names(class_names)
            check_scorable(suite, source, self.protocols)
            suite.prepare(source, self.device)
            for protocol in self.protocols:
                suite.measure_real(source, protocol)
            self.ready = {key: Instruments(suite, source, self.device)}
        self.ready[key].source.require_names(class_names)
        return self.ready[key]


def score_cell(directory: Path, request: Request) -> str:
    """Scores a cell where it has no such scores yet, and says in a line what was found.

    Raises:
        UserError: it cannot be scored.
    """
    trained, content = load_config(directory), Results(directory).content
    instruments, lines = request.instruments(trained, content.get("class_names")), []
    by_class = scores_classes(instruments.suite, trained)
    for name in request.checkpoints:
        missing = [each for each in request.protocols if not has_scores(content, name, instruments, each, by_class)]
        if missing:
            checkpoint = LoadedGame(*load_gan(trained, directory, name), name)
            records = new_records(directory, instruments, checkpoint, missing)
            lines += [f"{record['protocol']['name']}, {scores_in_words(record['scores'])}" for record in records]
    return "; ".join(lines) or "has these scores already"


def scores_classes(suite: Suite, trained: DictConfig) -> bool:
    """Whether a suite has scores within the classes of what the G of a config makes."""
    return type(suite).by_class is not Suite.by_class and n_classes_of(build_gan(trained).G) is not None


def has_scores(
    content: RunRecord, checkpoint: str, instruments: Instruments, protocol: EvalProtocol, by_class: bool
) -> bool:
    """Whether the results of a run have scores of the present weights of a checkpoint that were
    measured with these instruments under this protocol.

    Args:
        by_class: whether they must be of each class too, as those at the end of a training are not.
    """
    best = content.get("best") or {}
    update = {"last": content.get("updates"), "best": best.get("update")}.get(checkpoint)
    facts = as_recorded(instruments.suite, instruments.source, protocol)
    records = [record for record in content.get("evaluations", []) if "classes" in record or not by_class]
    if not by_class and content.get("final"):
        records.append(content["final"])
    wanted = checkpoint, update, facts
    return any((each.get("checkpoint"), each["update"], each.get("protocol")) == wanted for each in records)


def new_records(
    directory: Path, instruments: Instruments, checkpoint: LoadedGame, protocols: Sequence[EvalProtocol]
) -> Iterator[Record]:
    """Scores the weights of a checkpoint under protocols, and adds each record to the results of
    the run."""
    gan, update, name = checkpoint
    suite, source, device = instruments
    results = Results(directory)
    for protocol in protocols:
        record = measure(gan.to(device), suite, source, protocol, update, name, by_class=True)
        results.add_evaluation(record)
        yield record


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
    """A protocol with the number of samples and, of a generator, the weights that the command line asks for."""
    protocol = build_protocol(config, name, "protocols")
    if config.generated is not None:
        protocol = protocol.with_generated(config.generated)
    return protocol if config.get("ema") is None else replace(protocol, ema=config.ema)


def chosen_suite(config: DictConfig, trained: DictConfig) -> Suite:
    """The metrics that the command line asks for, or else the run's own.

    Raises:
        UserError: there are none.
    """
    metrics = config.metrics if "suite" in config.metrics else trained.metrics
    asked = OmegaConf.create({"data": trained.data, "metrics": metrics})
    complete_metrics(asked)
    suite = build_part(asked.metrics.suite, Suite)
    if suite is None:
        owner = "the command line comes to" if "suite" in config.metrics else "the run has"
        raise UserError(
            f"{owner} metrics=none, so there is nothing to score: choose metrics=NAME, one of "
            f"{', '.join(name for name in choices('metrics') if name not in ('auto', 'none'))}."
        )
    return suite


def save_class_grid(gan: GAN, source: Source, protocol: EvalProtocol, path: Path) -> None:
    """Saves a picture with ten samples of each class in a row; nothing if G does not look at
    labels.

    They have the weights and the truncation that are scored under the protocol.
    """
    sampler = Sampler(gan.generator(protocol.ema), truncation=protocol.truncation)
    if sampler.n_classes is not None:
        render(source, *sampler.grid(10 * sampler.n_classes), source.class_names).save(path)
