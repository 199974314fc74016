"""One training run, from its config to its last score."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lit_gan.build import build_data, build_gan, build_protocol, build_source, with_generated
from lit_gan.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    Clock,
    EpochLog,
    Evaluation,
    ProgressBar,
    RandomState,
    Stopped,
)
from lit_gan.errors import UserError
from lit_gan.measure import measure
from lit_gan.metrics import Protocol
from lit_gan.metrics_csv import MetricsCsv
from lit_gan.results import Results
from lit_gan.run_directory import load_weights, open_run, read_checkpoint
from lit_gan.summary import print_summary

log = logging.getLogger("lit_gan")


def fit(config: DictConfig) -> None:
    """Trains, evaluates and reports; goes on where the output directory holds a run of the same game.

    Raises:
        UserError: whatever the user can put right.
        SystemExit: 130, after a stop by Ctrl-C or SIGTERM.
    """
    quieten()
    directory, checkpoint = open_run(config)
    update = read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    results = Results(directory)
    if results.content.get("status") == "finished" and update >= config.updates:
        log.info("already finished at update %d; a larger `updates` goes on", update)
    else:
        results.start(update, **facts(config))
        with results.ending(), finished(build_loggers(config, directory, update)) as loggers:
            Run(config, directory, results, loggers).play(checkpoint)
    print_summary(directory, results.content)
    if results.content["status"] == "stopped":
        sys.exit(130)


class Run:
    """The parts of a run, made from its config, and the order in which they are used."""

    def __init__(self, config: DictConfig, directory: Path, results: Results, loggers: list[Logger]):
        self.config, self.directory, self.results = config, directory, results
        self.source = build_source(config)
        self.suite = instantiate(config.metrics.suite)
        self.gan, self.data = build_gan(config), build_data(config, self.source)
        self.clock = Clock(self.data.images_per_update)
        if self.suite is not None:
            self.suite.prepare(self.source)
        self.trainer = self.build_trainer(loggers)

    def play(self, checkpoint: Path | None) -> None:
        """Trains from `checkpoint` on, takes the final scores, and leaves the status in the results."""
        if checkpoint is not None:
            load_weights(self.gan, read_checkpoint(checkpoint), checkpoint)
        device = self.trainer.strategy.root_device
        self.results.content["device"] = device_name(device)
        try:
            self.trainer.fit(self.gan, self.data, ckpt_path=checkpoint and str(checkpoint), weights_only=True)
        except Stopped as stop:
            self.results.content |= {"updates": stop.update, **self.clock.rates(stop.update)}
            return self.results.close("stopped")
        if self.trainer.is_global_zero:
            if self.suite is not None:
                self.take_final_scores(device)
            self.results.close("finished")

    def take_final_scores(self, device: torch.device) -> None:
        """The full evaluation after the last update."""
        update = self.trainer.global_step
        record = measure(self.gan.to(device), self.suite, self.source, self.protocol("final"), update, "last")
        self.clock.add("evaluation", record["seconds"])
        self.results.content |= {"final": record, **self.clock.rates(update)}
        for logger in self.trainer.loggers:
            logger.log_metrics({f"final/{name}": value for name, value in record["scores"].items()}, step=update)

    def protocol(self, when: str) -> Protocol:
        """The protocol "during" training or at its end, "final"; a handful of images in a fast_dev_run."""
        protocol = build_protocol(self.config, self.config.metrics[when])
        return with_generated(protocol, self.config.batch_size) if self.config.trainer.fast_dev_run else protocol

    def build_trainer(self, loggers: list[Logger]) -> Trainer:
        """Lightning's trainer: an epoch is `updates_per_epoch` generator updates.

        Raises:
            UserError: it does not know an argument of the config group `trainer`, or cannot do what it asks for.
        """
        try:
            return Trainer(
                max_epochs=-1,
                max_steps=self.config.updates,
                limit_train_batches=self.config.updates_per_epoch,
                logger=loggers,
                callbacks=self.build_callbacks(),
                plugins=[AtomicCheckpointIO()],
                default_root_dir=self.directory,
                use_distributed_sampler=False,
                enable_model_summary=False,
                **OmegaConf.to_container(self.config.trainer, resolve=True),
            )
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise UserError(f"The settings trainer.* cannot be used here: {error}") from error

    def build_callbacks(self) -> list[Callback]:
        """The clock first, what measures next, what saves last."""
        config, clock = self.config, self.clock
        monitor, mode = None, config.metrics.get("monitor_mode", "min")
        callbacks = [clock, RandomState(config.seed), *(instantiate(entry) for entry in config.callbacks.values())]
        if self.suite is not None:
            monitor = f"{self.suite.name}/{config.metrics.monitor}"
            protocol = self.protocol("during")
            callbacks.append(Evaluation(self.suite, self.source, protocol, self.results, clock, monitor, mode))
        callbacks.append(EpochLog(self.results, clock))
        if config.trainer.enable_progress_bar:
            callbacks.append(ProgressBar(clock, monitor))
        return [*callbacks, Checkpoints(self.directory / "checkpoints", monitor, mode)]


def build_loggers(config: DictConfig, directory: Path, update: int) -> list[Logger]:
    """metrics.csv, and those of the config group `logger`, each with the whole config.

    Raises:
        UserError: W&B has no key.
    """
    table = MetricsCsv(directory)
    table.resume(update)
    loggers = [table, *(instantiate(entry) for entry in config.logger.values())]
    settings = OmegaConf.to_container(config, resolve=True)
    if not config.trainer.fast_dev_run:
        for logger in loggers:
            try:
                logger.log_hyperparams(settings)
            except wandb.errors.Error as error:
                raise UserError(
                    f"logger=wandb cannot start ({error}): run `wandb login`, or set logger.wandb.offline=true."
                ) from error
    return loggers


@contextmanager
def finished(loggers: list[Logger]) -> Iterator[list[Logger]]:
    """Ends the W&B run with the block, marked failed if the block failed."""
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers) and wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def facts(config: DictConfig) -> dict[str, Any]:
    """What `results.json` says of a run before it starts."""
    hydra = HydraConfig.get()
    return {
        "updates_planned": config.updates,
        "seed": config.seed,
        "choices": {name: choice for name, choice in hydra.runtime.choices.items() if "hydra" not in name},
        "overrides": list(hydra.overrides.task),
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def quieten() -> None:
    """Leaves the screen to what concerns the run."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
