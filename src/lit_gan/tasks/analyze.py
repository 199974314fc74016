"""The analyses of a run, one after the other."""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from lit_gan.analysis.base import Analysis
from lit_gan.analysis.subject import Subject
from lit_gan.build import choose_device
from lit_gan.configs import choices
from lit_gan.errors import UserError
from lit_gan.records.directory import load_config
from lit_gan.settings import COUNT, SEED, SWITCH, Allowed, check_settings
from lit_gan.tasks.chosen_run import chosen_run, moved_source
from lit_gan.tasks.loading import load_gan

ANALYZE = {
    "checkpoint": Allowed(str),
    "seed": SEED,
    "ema": SWITCH,
    "batch_size": COUNT,
    "device": Allowed(str),
    "output": Allowed(str),
    "data.root": Allowed(str | None),
    "data.file": Allowed(str | None),
    "debug": SWITCH,
}


def analyze(config: DictConfig) -> None:
    """Every analysis asked for, its files on disk as soon as it is done.

    Raises:
        UserError: whatever the user can put right, all of it before the first analysis.
    """
    directory = chosen_run(config)
    check_settings(config, ANALYZE)
    analyses, device = build_analyses(config), choose_device(config.device)
    trained = load_config(directory)
    gan, update = load_gan(trained, directory, config.checkpoint)
    source = moved_source(config, trained)
    subject = Subject(trained, directory, gan.to(device), source, config.ema, config.seed, config.batch_size)
    for analysis in analyses.values():
        analysis.check(subject)
    for name, analysis in analyses.items():
        finding, stem = analysis.find(subject), Path(config.output) / name
        finding.save(stem)
        print(f"{name}, update {update}: {finding.summary}\n  {stem}.png  {stem}.csv", flush=True)


def build_analyses(config: DictConfig) -> dict[str, Analysis]:
    """The analyses under their names.

    Raises:
        UserError: there are none.
    """
    if not config.analysis:
        raise UserError(f"analysis=NAME is missing: choose one or a list of {', '.join(choices('analysis'))}.")
    return {name: instantiate(entry) for name, entry in config.analysis.items()}
