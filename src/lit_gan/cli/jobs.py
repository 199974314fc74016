"""What a command is about to do, held against the mistakes that Hydra composes without a word."""

import os

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from lit_gan.catalogue.composed import Job, check_files, check_typed
from lit_gan.cli.flags import is_first_process, split_flags
from lit_gan.overrides import parse_overrides, quote_typed
from lit_gan.sweep.cell_config import CELL


def check_job(config: DictConfig, config_name: str, typed: list[str]) -> None:
    """Refuses what a command has come to. A resume is asked for its new settings alone, and the cells of
    a sweep for nothing, as its plan was.

    Args:
        config_name: the primary config of the command.
        typed: the words of the command line as they were typed.

    Raises:
        UserError: names the choice or the setting, and the way out.
    """
    job, several = Job(config, HydraConfig.get()), HydraConfig.get().mode == RunMode.MULTIRUN
    if config_name == "train" and (several or CELL in os.environ):
        return
    if not config.get("resume"):
        check_files(job, config_name)
    if not several:
        check_typed([job], typed_settings(typed))


def typed_settings(words: list[str]) -> list[Override]:
    """The settings that a person typed; none in the further processes of a training on several devices,
    whose command line the first has made."""
    settings = split_flags(words)[1] if is_first_process() else []
    return parse_overrides(map(quote_typed, settings))
