"""`python -m lit_gan.evaluate run=DIR`: all metrics of a finished or stopped run."""

from omegaconf import DictConfig, OmegaConf

from lit_gan.cli.launch import launch
from lit_gan.system.watching import announce


def evaluate(config: DictConfig) -> None:
    """Scores the checkpoints of a run under protocols and adds the records to its `results.json`."""
    if run := OmegaConf.select(config, "run"):
        announce(f"scoring run={run}")
    from lit_gan.tasks import evaluate as task

    task.evaluate(config)


def main() -> None:
    """The console script."""
    launch(evaluate, "evaluate")


if __name__ == "__main__":
    main()
