"""From the shell to a task: streams, signals, Hydra's main and exit codes.

Imports nothing heavy, so that --help and --cfg job answer at once.
"""

import functools
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig

from lit_gan.cli.arguments import complete_arguments
from lit_gan.cli.jobs import check_job
from lit_gan.cli.last_line import ending_in_json
from lit_gan.cli.mistakes import explain
from lit_gan.cli.resolvers import register_resolvers
from lit_gan.sweep.cell_config import config_of_own_cell
from lit_gan.system.signals import STOPPED, stoppable
from lit_gan.system.slurm import requeuing
from lit_gan.system.streams import take_streams

CONFIGS = "pkg://lit_gan.conf"
"""Where Hydra finds the package's configs, installed or not."""

Task = Callable[[DictConfig], Any]


def launch(task: Task, config_name: str) -> None:
    """Runs a task on the config of the command line; a cell's own process, on the one that its
    sweep composed.

    A mistake ends the process with one sentence and exit code 1, Ctrl-C and whatever else asks for
    an end with exit code 130; `debug=true` gives the traceback instead. With the flag `--json`
    trainings end in a line for scripts.
    """
    take_streams()
    register_resolvers()
    rank_zero_only.rank = 0  # whatever a scheduler has left in the environment: Lightning sets it on several devices
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its exceptions instead of printing them
    with requeuing(), stoppable(), ending_in_json() if config_name == "train" else nullcontext():
        answer(task, config_name)


def answer(task: Task, config_name: str) -> None:
    """Runs a task, and ends the process as `launch` says if the task fails or is interrupted."""
    typed = sys.argv[1:]
    debug = any(word.lstrip("+").lower() == "debug=true" for word in typed)
    try:
        sys.argv[1:] = complete_arguments(typed, config_name)
        with_hydra = hydra.main(version_base="1.3", config_path=CONFIGS, config_name=config_name)
        command = with_hydra(without_traceback(task, config_name, typed))
        command(config_of_own_cell() if config_name == "train" else None)
    except Exception as error:
        sentence = explain(error, config_name)
        if debug or sentence is None:
            raise
        sys.exit(f"lit_gan: {sentence}")
    except KeyboardInterrupt:
        if debug:
            raise
        print("lit_gan: interrupted", file=sys.stderr)
        sys.exit(STOPPED)


def without_traceback(task: Task, config_name: str, typed: list[str]) -> Task:
    """A task whose mistakes, and those that its config shows, end a single run with nothing but the
    sentence; Hydra would print its own line first.

    Args:
        typed: the words of the command line as they were typed.
    """

    @functools.wraps(task)
    def run(config: DictConfig) -> Any:
        try:
            check_job(config, config_name, typed)
            return task(config)
        except Exception as error:
            sentence = explain(error, config_name)
            if config.debug is True or sentence is None:
                raise
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                print(f"lit_gan: {sentence}", file=sys.stderr)  # Hydra shows the first one only, at its end
                raise
            sys.exit(f"lit_gan: {sentence}")

    return run
