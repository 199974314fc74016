"""The loggers of a run, W&B among them: made without a trace, started when the run begins, and
ended with it."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.errors import UserError, one_line, reason_of
from lit_gan.parts import build_part, selected
from lit_gan.records.results import Results, RunRecord
from lit_gan.records.trace import restoring
from lit_gan.tasks.first_record import choices_of_run
from lit_gan.tasks.hyperparameters import hyperparameters, write_session

log = logging.getLogger("lit_gan")


def build_loggers(config: DictConfig, update: int) -> dict[str, Logger]:
    """The loggers of the config group `logger`, which start nothing yet; `metrics.csv` is always
    kept beside them.

    Args:
        update: the generator update from which the run goes on. TensorBoard forgets what a killed
            process has told it of later ones.
    """
    loggers = {name: build_part(config.logger[name], Logger) for name in selected(config.logger)}
    for logger in loggers.values():
        if isinstance(logger, TensorBoardLogger):
            # Lightning hands these on to the writer, which it makes when the logger starts
            logger._kwargs.setdefault("purge_step", update + 1)
    return loggers


def start_loggers(config: DictConfig, loggers: dict[str, Logger], directory: Path) -> None:
    """Starts loggers, each with the whole config and the choice of each group; one that cannot
    start leaves nothing in the run's directory.

    Raises:
        UserError: W&B has no key or no network, for one.
    """
    settings = OmegaConf.to_container(config, resolve=True)
    settings["choices"] = choices_of_run(config)
    settings["reg"] = {name: settings["reg"][name] for name in settings["choices"]["reg"]}
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
def telling_the_end(loggers: dict[str, Logger], results: Results) -> Iterator[None]:
    """Tells the loggers how a run has ended in the block, if it has begun there.

    TensorBoard gets the row of its HParams tab. W&B gets the best score into its summary, where the
    final ones are by themselves, and an alert of a failure: that a run has finished or crashed it
    tells by itself those who have asked it to.
    """
    status, sentence = "failed", ""
    try:
        yield
        status = results.content.get("status")
    except KeyboardInterrupt:
        status = "stopped"
        raise
    except Exception as error:
        sentence = reason_of(error)
        raise
    finally:
        if results.started:
            tell_the_end(loggers, results.content, status)
            alert(loggers, "Training failed", [sentence] if sentence else [], "ERROR")


@rank_zero_only
def tell_the_end(loggers: dict[str, Logger], content: RunRecord, status: str) -> None:
    """Passes on what a run has come to.

    Args:
        content: of its `results.json`.
        status: "finished", "stopped" or "failed".
    """
    best = content["best"]
    for logger in loggers.values():
        with harmless(logger):
            if isinstance(logger, TensorBoardLogger):
                write_session(logger, hyperparameters(logger.hparams, content["choices"]), status, content["final"])
                logger.experiment.close()  # its thread would write two minutes later
            elif isinstance(logger, WandbLogger) and best:
                at_best = {f"best/{best['metric']}": best["value"], "best/update": best["update"]}
                logger.experiment.summary.update(at_best)


@rank_zero_only
def alert(loggers: dict[str, Logger], title: str, sentences: Sequence[str], level: str) -> None:
    """Has W&B notify its user of sentences about a run, if it is among the loggers and there are
    any; offline, once the run is uploaded.

    Args:
        title: fewer than 64 characters.
        level: "INFO", "WARN" or "ERROR".
    """
    for logger in loggers.values():
        if isinstance(logger, WandbLogger) and sentences:
            with harmless(logger):
                logger.experiment.alert(title, "\n".join(sentences), level)


@contextmanager
def harmless(logger: Logger) -> Iterator[None]:
    """Warns of an error of a logger that is only told of the end: it must not take a trained run
    with it, nor hide why one has failed."""
    try:
        yield
    except Exception as error:
        log.warning("the logger %s was not told how the run has ended: %s", logger.name, one_line(str(error)))


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
