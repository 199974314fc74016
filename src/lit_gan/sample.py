"""`python -m lit_gan.sample run=DIR`: images from a finished or stopped run."""

from omegaconf import DictConfig

from lit_gan.launch import launch


def sample(config: DictConfig) -> None:
    """Writes single images, a grid, a latent interpolation and, if asked to, an npz file."""
    from lit_gan.draw import draw

    draw(config)


def main() -> None:
    """The console script."""
    launch(sample, "sample")


if __name__ == "__main__":
    main()
