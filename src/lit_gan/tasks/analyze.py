"""`python -m lit_gan.analyze`: the analyses of a run, one after the other."""

from pathlib import Path

from omegaconf import DictConfig

from lit_gan.analysis.base import Analysis, found
from lit_gan.analysis.subject import Subject
from lit_gan.build import choose_device, complete_metrics
from lit_gan.catalogue.configs import choices
from lit_gan.errors import UserError
from lit_gan.parts import build_part, selected
from lit_gan.records.directory import load_config
from lit_gan.records.results import Results
from lit_gan.settings import ANALYZE, check_config
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_gan


def analyze(config: DictConfig) -> None:
    """Makes each chosen analysis of a run, and writes its files as soon as it is done.

    Raises:
        UserError: something that the user can put right, before the first analysis is made.
    """
    directory = chosen_run(config)
    check_config(config, ANALYZE)
    device = choose_device(config.device)
    analyses = build_analyses(config)
    trained = load_config(directory)
    if "suite" in config.metrics:
        trained.metrics = config.metrics
        complete_metrics(trained)
    gan, update = load_gan(trained, directory, config.checkpoint)
    source = moved_source(config, trained)
    source.require_names(Results(directory).content.get("class_names"))
    subject = Subject(trained, directory, gan.to(device), source, config.ema, config.seed, config.batch_size)
    for analysis in analyses.values():
        analysis.check(subject)
    for name, analysis in analyses.items():
        finding = found(analysis, subject)
        stem = Path(config.output) / name
        finding.save(stem)
        print(f"{name}, update {update}: {finding.summary}\n  {stem}.png  {stem}.csv", flush=True)


def build_analyses(config: DictConfig) -> dict[str, Analysis]:
    """The chosen analyses under their names.

    Raises:
        UserError: none is chosen.
    """
    if not config.analysis:
        raise UserError(f"analysis=NAME is missing: choose one or a list of {', '.join(choices('analysis'))}.")
    return {name: build_part(config.analysis[name], Analysis) for name in selected(config.analysis)}
