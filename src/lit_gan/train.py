"""`python -m lit_gan.train`: trains a GAN, measures it and shows it; or a whole sweep of them."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lit_gan.grid.play import end_with_parent, play
from lit_gan.launch import launch


def train(config: DictConfig) -> float | None:
    """Trains the GAN of a config in Hydra's output directory, or goes on with it if it was started there before.

    Returns what a search over settings compares: in a sweep, the cell's final score.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return play(config)
    from lit_gan.fit import fit

    fit(config)
    return None


def main() -> None:
    """The console script."""
    end_with_parent()
    launch(train, "train")


if __name__ == "__main__":
    main()
