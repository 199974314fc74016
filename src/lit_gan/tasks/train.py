"""One training, or one cell of a sweep of them; imports nothing heavy before it has said what it is
going to do."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lit_gan.errors import UserError
from lit_gan.records.chosen import choices_in_words
from lit_gan.sweep.plan import read_plan
from lit_gan.sweep.run_cell import run_cell
from lit_gan.system.memory import keep_freed_memory
from lit_gan.system.watching import announce


def train(config: DictConfig) -> float | None:
    """Trains the GAN of a config in Hydra's output directory, or resumes the run that was started
    there before.

    Returns:
        What a search over settings compares: in a sweep, the cell's final score.

    Raises:
        UserError: the run cannot be in its directory, or not go on there.
        Exception: the training failed.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return run_cell(config, train_single)
    directory = Path(HydraConfig.get().runtime.output_dir)
    check_no_sweep(directory)
    announce(f"training {main_choices()} in {directory}")
    train_single(config)
    return None


def check_no_sweep(directory: Path) -> None:
    """Refuses the directory of a sweep as that of a single run.

    Raises:
        UserError: names it.
    """
    if read_plan(directory):
        raise UserError(f"hydra.run.dir={directory} is the directory of a sweep: name another for the run.")


def train_single(config: DictConfig) -> None:
    """Trains one run in this process; the import is late because torch and Lightning take seconds
    to load."""
    from lit_gan.tasks.training import train_run

    keep_freed_memory()
    train_run(config)


def main_choices() -> str:
    """What was chosen in the config groups that say most about a run, as on the command line."""
    return choices_in_words(HydraConfig.get().runtime.choices, ("experiment", "method", "model", "loss", "data"))
