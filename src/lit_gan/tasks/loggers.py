"""The loggers of a run, W&B among them: made without a trace, started when the run begins, and
ended with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError
from lit_gan.parts import build_part
from lit_gan.records.trace import restoring


def build_loggers(config: DictConfig) -> dict[str, Logger]:
    """The loggers of the config group `logger`, which start nothing yet; `metrics.csv` is always
    kept beside them."""
    return {name: build_part(entry) for name, entry in config.logger.items()}


def start_loggers(config: DictConfig, loggers: dict[str, Logger], directory: Path) -> None:
    """Starts loggers, each with the whole config; one that cannot start leaves nothing in the run's
    directory.

    In a fast_dev_run, in which Lightning logs nothing, they are not started.

    Raises:
        UserError: W&B has no key or no network, for one.
    """
    if config.trainer.fast_dev_run:
        return
    settings = OmegaConf.to_container(config, resolve=True)
    for name, logger in loggers.items():
        with restoring(directory):
            start_logger(name, logger, settings)


def start_logger(name: str, logger: Logger, settings: dict[str, Any]) -> None:
    """Gives a logger the config, at which W&B first asks for a key and looks at its own settings.

    Raises:
        UserError: the logger cannot start.
    """
    try:
        logger.log_hyperparams(settings)
    except UserError:
        raise
    except Exception as error:  # of any class: nothing but the logger runs here
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        offline = "run `wandb login`, or set logger.wandb.offline=true" if name == "wandb" else "choose another folder"
        raise UserError(f"logger={name} cannot start ({reason}): {offline}, or correct logger.{name}.*.") from error


@contextmanager
def closing_wandb(loggers: dict[str, Logger]) -> Iterator[None]:
    """Ends the W&B run with the block, marked failed if the block failed, and forgets whether it
    was offline."""
    failed, mode = True, os.environ.get("WANDB_MODE")
    try:
        yield
        failed = False
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers.values()):
            import wandb  # takes half a second, in which a run without it can begin

            if wandb.run is not None:
                wandb.finish(exit_code=int(failed))
            # Lightning sets the variable and W&B keeps it: the next run of this process would be offline as well, or
            # refused as this one was.
            os.environ.pop("WANDB_MODE", None)
            os.environ |= {} if mode is None else {"WANDB_MODE": mode}
            wandb.teardown()
