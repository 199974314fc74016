"""`python -m lit_gan.train`: trains a GAN, measures it and shows it; or a whole sweep of them."""

from lit_gan.cli.launch import launch
from lit_gan.sweep.frozen import job_config
from lit_gan.sweep.run_cell import end_with_parent
from lit_gan.tasks.train import train


def main() -> None:
    """The console script."""
    end_with_parent()
    launch(train, "train", job_config)


if __name__ == "__main__":
    main()
