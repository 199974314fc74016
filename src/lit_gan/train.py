"""`python -m lit_gan.train`: trains a GAN, measures it and shows it; or a whole sweep of them."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lit_gan.cli.launch import launch
from lit_gan.sweep.frozen import job_config
from lit_gan.sweep.run_cell import end_with_parent, run_cell
from lit_gan.system.watching import announce


def train(config: DictConfig) -> float | None:
    """Trains the GAN of a config in Hydra's output directory, or goes on with it if it was started there before.

    Returns what a search over settings compares: in a sweep, the cell's final score.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return run_cell(config)
    announce(f"training {choices()} in {HydraConfig.get().runtime.output_dir}")
    from lit_gan.tasks.training import train_run

    train_run(config)
    return None


def choices() -> str:
    """What is chosen in the groups that say most of a run."""
    made = HydraConfig.get().runtime.choices
    groups = ("experiment", "method", "model", "loss", "data")
    return " ".join(f"{group}={made[group]}" for group in groups if made.get(group))


def main() -> None:
    """The console script."""
    end_with_parent()
    launch(train, "train", job_config)


if __name__ == "__main__":
    main()
