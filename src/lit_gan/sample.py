"""`python -m lit_gan.sample run=DIR`: images from a finished or stopped run."""

from omegaconf import DictConfig, OmegaConf

from lit_gan.cli.launch import launch
from lit_gan.system.watching import announce


def sample(config: DictConfig) -> None:
    """Writes single images, a grid, a latent interpolation and, if asked to, an npz file."""
    if run := OmegaConf.select(config, "run"):
        announce(f"drawing samples of run={run}")
    from lit_gan.tasks import sample as task

    task.sample(config)


def main() -> None:
    """The console script."""
    launch(sample, "sample")


if __name__ == "__main__":
    main()
