"""`python -m lit_gan.analyze run=DIR analysis=NAME`: a look into a finished or stopped run."""

from omegaconf import DictConfig, OmegaConf

from lit_gan.cli.launch import launch
from lit_gan.system.watching import announce


def analyze(config: DictConfig) -> None:
    """Writes a plot and a table for every analysis asked for."""
    if run := OmegaConf.select(config, "run"):
        announce(f"looking into run={run}")
    from lit_gan.tasks import analyze as task

    task.analyze(config)


def main() -> None:
    """The console script."""
    launch(analyze, "analyze")


if __name__ == "__main__":
    main()
