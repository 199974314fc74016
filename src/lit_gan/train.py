"""`python -m lit_gan.train`: trains a GAN, measures it and shows it."""

from omegaconf import DictConfig

from lit_gan.launch import launch


def train(config: DictConfig) -> None:
    """Trains the GAN of a config in Hydra's output directory, or goes on with it if it was started there before."""
    from lit_gan.fit import fit

    fit(config)


def main() -> None:
    """The console script."""
    launch(train, "train")


if __name__ == "__main__":
    main()
