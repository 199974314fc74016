"""`python -m lit_gan.evaluate run=DIR`: all metrics of a finished or stopped run."""

from omegaconf import DictConfig

from lit_gan.launch import launch


def evaluate(config: DictConfig) -> None:
    """Scores the checkpoints of a run under protocols and adds the records to its `results.json`."""
    from lit_gan.rescore import rescore

    rescore(config)


def main() -> None:
    """The console script."""
    launch(evaluate, "evaluate")


if __name__ == "__main__":
    main()
