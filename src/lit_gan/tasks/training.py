"""One training run, from its config to its last score."""

import copy
import logging
import os
import signal
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
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, LambdaCallback
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lit_gan.build import build_data, build_gan, build_protocol, build_source, check_training
from lit_gan.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    Clock,
    CurvesFigure,
    EpochLog,
    Evaluation,
    ProgressBar,
    RandomState,
    SaveFirst,
    SharedFailure,
    Stopped,
    who_ends,
)
from lit_gan.callbacks.branch import Branch
from lit_gan.curves import Diverged
from lit_gan.data.module import lost_process
from lit_gan.errors import UserError
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.records.branch import FIXES_WEIGHTS, parent_record, unfit_state
from lit_gan.records.difference import first_difference
from lit_gan.records.directory import config_texts, open_run, read_config, remove_unfinished_files
from lit_gan.records.files import Unwritable
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.paths import with_whole_path
from lit_gan.records.results import Results
from lit_gan.records.trace import begin_log, leaving_nothing, restoring
from lit_gan.system.signals import STOPPED, handling, interrupt, received
from lit_gan.tasks.collapse import SETTLED, equal_samples, exploded_loss, lost_score
from lit_gan.tasks.loading import load_weights, read_checkpoint
from lit_gan.tasks.prescribed import departures
from lit_gan.tasks.summary import print_summary
from lit_gan.tasks.trainer import is_refusal, refusal, trainer_arguments

log = logging.getLogger("lit_gan")


def train_run(config: DictConfig) -> None:
    """Trains, evaluates and reports; goes on where the output directory holds a run of the same game.

    Raises:
        UserError: whatever the user can put right.
        SystemExit: 130, after a stop by Ctrl-C or one of `STOPPING`'s signals.
    """
    quieten()
    directory = Path(HydraConfig.get().runtime.output_dir)
    with handling(interrupt), leaving_nothing(directory):
        check_training(config)
        trainer_arguments(config.trainer)  # refuses, and tells this process its rank, before anything is written
        with open_run(config, directory) as checkpoint:
            results = Results(directory)
            play(config, results, checkpoint)
            print_summary(directory, results.content, config.data.shape)
    if results.content["status"] == "stopped" and not results.content.get("stopped_by"):
        sys.exit(STOPPED)


def play(config: DictConfig, results: Results, checkpoint: Path | None) -> None:
    """Plays the game from a checkpoint or from its beginning to the last update, unless it has been there."""
    saved = read_checkpoint(checkpoint) if checkpoint else None
    update = saved["global_step"] if saved else 0
    if results.content.get("status") == "finished" and update >= config.updates:
        return log.info("already finished at update %d; a larger `updates` goes on", update)
    with results.ending():
        run = Run(config, results, checkpoint, update)
        if saved:
            run.load(saved)
        with finished(run.loggers), remedied(run):
            run.play()


class Run:
    """The parts of a run, made from its config, and the order in which they are used.

    Whatever can be refused is refused while the parts are made or before Lightning's first update, and nothing is
    written until then: the first bytes are those of `begin`.
    """

    def __init__(self, config: DictConfig, results: Results, checkpoint: Path | None = None, update: int = 0):
        self.config, self.results, self.directory = config, results, results.path.parent
        self.as_chosen = copy.deepcopy(config)  # making a part of it fills in the interpolations for good
        self.checkpoint, self.update = checkpoint, update
        self.table, self.loggers = MetricsCsv(self.directory), build_loggers(config)
        self.table.resume(update)
        self.source = build_source(config)
        self.suite: Suite | None = instantiate(config.metrics.suite)
        self.during, self.final = self.protocol("during"), self.protocol("final")
        self.gan, self.data = build_gan(config), build_data(config, self.source)
        self.clock = Clock(self.data.images_per_update)
        self.random_state = RandomState(config.seed)
        self.trainer = self.build_trainer()
        self.device = self.trainer.strategy.root_device
        check_shares(config, self.trainer.world_size)
        if self.suite is not None:
            self.suite.prepare(self.source, self.device)
            for protocol in (self.during, self.final):
                self.suite.measure_real(self.source, protocol)

    @property
    def branches(self) -> bool:
        """Whether it begins in the state of another run."""
        return self.checkpoint is not None and self.checkpoint.parent.parent != self.directory

    def load(self, content: dict[str, Any]) -> None:
        """Puts the weights of its checkpoint into the players.

        Raises:
            UserError: they do not fit.
        """
        try:
            load_weights(self.gan, content, self.checkpoint)
        except UserError:
            parent = self.checkpoint.parent.parent
            old = read_config(parent)
            if self.branches and (changed := first_difference(old, self.as_chosen, FIXES_WEIGHTS)):
                raise unfit_state(parent, *changed) from None
            raise

    def begin(self) -> None:
        """Starts the loggers and writes the run's first files; nothing has been written before."""
        if self.results.started:
            return
        start_loggers(self.config, self.loggers, self.directory)
        if self.branches:  # first of all, as without it the directory would be that of a run from its very beginning
            self.random_state.on_train_start(self.trainer, self.gan)
            self.checkpoints.save(self.trainer)
        texts = config_texts(self.as_chosen, self.directory) | {self.table.path: self.table.text()}
        own = {"device": device_name(self.device), "class_names": self.source.class_names}
        own |= {"parent": parent_record(self.checkpoint, self.update)} if self.branches else {}
        self.results.start(self.update, texts, **facts(self.config), **own)
        remove_unfinished_files(self.directory)
        set_aside(self.directory)
        if not self.trainer.fast_dev_run:  # there Lightning logs nothing
            self.trainer.loggers = [self.table, *self.loggers.values()]
        begin_log()
        for sentence in self.results.content["warnings"]:
            log.warning(sentence)

    def play(self) -> None:
        """Trains, takes the final scores, and leaves the status in the results."""
        path = self.checkpoint and str(self.checkpoint)
        if path is None:
            set_aside(self.directory)
        try:
            self.trainer.fit(self.gan, self.data, ckpt_path=path, weights_only=True)
            self.catch_up()
            if self.trainer.global_step < self.config.updates and not self.config.trainer.fast_dev_run:
                raise Stopped(self.trainer.global_step, who_ends(self.trainer))
            self.take_final_scores()
        except Stopped as stop:
            who = ", ".join(signal.Signals(each).name for each in received) or stop.by or "stopped with another process"
            log.info("%s: saved at update %d", who, stop.update)
            return self.results.stop(stop.update, stop.by, self.clock.rates(stop.update))
        except SystemExit as end:  # Lightning's answer to a second Ctrl-C
            raise KeyboardInterrupt from end
        except UserError:
            raise
        except Exception as error:
            self.exit_if_another_failed()
            if lost := lost_process(error, self.config.workers):
                raise lost from error
            if is_refusal(error):
                raise UserError(refusal(self.config.trainer, error)) from error
            raise
        if self.trainer.is_global_zero:
            if not self.trainer.fast_dev_run:
                self.results.add_warnings(self.signs_of_collapse())
            self.results.close("finished")

    def catch_up(self) -> None:
        """After a training that was at its last update already, and so has not begun: what a kill had left out."""
        if not self.results.started:
            self.begin()
            self.random_state.on_train_start(self.trainer, self.gan.to(self.device))
            self.checkpoints.catch_up(self.trainer, self.gan)

    def kept(self) -> str:
        """What there is to go on from."""
        update = self.checkpoints.saved
        if update is None:
            return "there is no checkpoint yet"
        return f"the checkpoint of update {update} was kept, from which resume={self.directory} goes on"

    def exit_if_another_failed(self) -> None:
        """Ends this process without a word if its error is only that it has lost another, which has said why."""
        reason = self.results.failure() if self.trainer.world_size > 1 else None
        if reason is not None:
            self.results.close("failed", reason)
            sys.exit(1)

    def take_final_scores(self) -> None:
        """The full evaluation after the last update, if there are metrics; every process makes its share of samples."""
        if self.suite is None:
            return
        update = self.trainer.global_step
        if self.trainer.is_global_zero:
            log.info("scoring %d samples under protocol %s", self.final.generated, self.final.name)
        record = measure(self.gan.to(self.device), self.suite, self.source, self.final, update, "last")
        self.clock.add("evaluation", record["seconds"])
        self.results.add_final(record, self.clock.rates(update))
        for logger in self.trainer.loggers:
            logger.log_metrics({f"final/{name}": value for name, value in record["scores"].items()}, step=update)

    def signs_of_collapse(self) -> list[str]:
        """Sentences on what the end of the training shows of a collapse."""
        metric, mode = self.monitored()
        settled = self.trainer.global_step >= SETTLED
        signs = [
            exploded_loss(self.directory / "metrics.csv"),
            lost_score(self.results.content["course"], metric, mode) if metric else None,
            equal_samples(self.gan.generator(ema=True), self.source) if settled else None,
        ]
        return [sign for sign in signs if sign]

    def protocol(self, when: str) -> EvalProtocol:
        """The protocol "during" training or at its end, "final"; a handful of images in a fast_dev_run.

        Raises:
            UserError: there is none of that name, or the data set has not the split that it needs.
        """
        protocol = build_protocol(self.config, self.config.metrics[when])
        if self.suite is not None and protocol.real_split not in self.source.splits:
            raise UserError(
                f"metrics.{when}={protocol.name} needs the split '{protocol.real_split}', which "
                f"data={self.source.name} has not: choose a protocol on {', '.join(self.source.splits)}."
            )
        return protocol.with_generated(max(2, self.config.batch_size)) if self.config.trainer.fast_dev_run else protocol

    def monitored(self) -> tuple[str | None, str]:
        """The full name of the score that chooses the best checkpoint, and which end of it is good.

        Raises:
            UserError: these metrics have no such score.
        """
        if self.suite is None:
            return None, "min"
        monitor, known = self.config.metrics.monitor, self.suite.SCORES
        if monitor not in known:
            raise UserError(
                f"metrics.monitor={monitor} is no score of these metrics: choose one of {', '.join(known)}."
            )
        return f"{self.suite.prefix(self.source)}/{monitor}", known[monitor]

    def build_trainer(self) -> Trainer:
        """Lightning's trainer: an epoch is `updates_per_epoch` generator updates.

        Raises:
            UserError: an argument of the config group `trainer` is one that is decided here.
        """
        arguments = trainer_arguments(self.config.trainer)
        own = {
            "max_steps": self.config.updates,
            "max_epochs": self.config.updates,  # no limit, but -1 would make Lightning resume within epochs only
            "limit_train_batches": self.config.updates_per_epoch,
            "logger": self.table,  # the others join when the run begins
            "callbacks": self.build_callbacks(),
            "default_root_dir": self.directory,
            "use_distributed_sampler": False,
            "enable_model_summary": False,
        }
        for name in arguments.keys() & own.keys():
            raise UserError(
                f"trainer.{name} is decided by other settings: updates and updates_per_epoch for the length, the "
                f"groups logger and callbacks, and hydra.run.dir for the directory."
            )
        try:
            return Trainer(**own, **arguments | {"plugins": [AtomicCheckpointIO(), *arguments["plugins"]]})
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise UserError(refusal(self.config.trainer, error)) from error

    def build_callbacks(self) -> list[Callback]:
        """The clock first, then a save, then what measures and shows, and a save with its results last."""
        config, results, clock = self.config, self.results, self.clock
        monitor, mode = self.monitored()
        followers = [instantiate(entry) for entry in config.callbacks.values()]
        if self.suite is not None:
            followers.append(Evaluation(self.suite, self.source, self.during, results, clock, monitor, mode))
        followers.append(EpochLog(results, clock))
        followers.sort(key=lambda callback: isinstance(callback, EarlyStopping | Checkpoint))  # as Lightning does
        self.checkpoints = Checkpoints(self.directory / "checkpoints", results, followers)
        callbacks = [LambdaCallback(on_train_start=lambda *_: self.begin()), *([Branch()] if self.branches else [])]
        callbacks += [clock, self.random_state, SaveFirst(self.checkpoints), *followers]
        callbacks.append(CurvesFigure(results, self.suite.SCORES if self.suite else {}))
        if config.trainer.enable_progress_bar:
            callbacks.append(ProgressBar(clock, monitor))
        return [*callbacks, SharedFailure(results), self.checkpoints]


def check_shares(config: DictConfig, devices: int) -> None:
    """Every device, and every part of an accumulated gradient, must get as many images in each turn.

    Raises:
        UserError: a batch cannot be shared equally.
    """
    parts = config.optim.accumulate
    among = [f"shared among {devices} devices"] * (devices > 1)
    among += [f"cut into the {parts} equal parts of optim.accumulate={parts}"] * (parts > 1)
    for name in ("batch_size", "g_batch_size"):
        if config[name] is not None and config[name] % (devices * parts):
            raise UserError(
                f"{name}={config[name]} cannot be {' and '.join(among)}: set it to a multiple of {devices * parts}."
            )


def build_loggers(config: DictConfig) -> dict[str, Logger]:
    """Those of the config group `logger`, which start nothing yet; `metrics.csv` is always there beside them."""
    return {name: instantiate(entry) for name, entry in config.logger.items()}


def start_loggers(config: DictConfig, loggers: dict[str, Logger], directory: Path) -> None:
    """Starts them, each with the whole config; one that cannot start leaves nothing behind.

    Raises:
        UserError: W&B has no key or no network, for one.
    """
    settings = OmegaConf.to_container(config, resolve=True)
    for name, logger in loggers.items() if not config.trainer.fast_dev_run else ():
        with restoring(directory):
            start(name, logger, settings)


def start(name: str, logger: Logger, settings: dict[str, Any]) -> None:
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
def finished(loggers: dict[str, Logger]) -> Iterator[None]:
    """Ends the W&B run with the block, marked failed if the block failed, and forgets whether it was offline."""
    failed, mode = True, os.environ.get("WANDB_MODE")
    try:
        yield
        failed = False
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers.values()):
            if wandb.run is not None:
                wandb.finish(exit_code=int(failed))
            # Lightning sets the variable and W&B keeps it: the next run of this process would be offline as well, or
            # refused as this one was.
            os.environ.pop("WANDB_MODE", None)
            os.environ |= {} if mode is None else {"WANDB_MODE": mode}
            wandb.teardown()


@contextmanager
def remedied(run: Run) -> Iterator[None]:
    """Adds what is left, and what to do, to the sentence of a training that could not go on."""
    try:
        yield
    except Diverged as error:
        raise UserError(
            f"{error}, and {run.kept()}; lower the learning rate (optim.d.lr, optim.g.lr) or add a regularizer "
            f"(reg=spectral)."
        ) from error
    except Unwritable as error:
        raise UserError(f"{str(error).rstrip('.')}; {run.kept()}.") from error


def facts(config: DictConfig) -> dict[str, Any]:
    """What `results.json` says of a run before it starts."""
    hydra = HydraConfig.get()
    choices = hydra.runtime.choices
    return {
        "updates_planned": config.updates,
        "seed": config.seed,
        "choices": {name: choice for name, choice in choices.items() if "hydra" not in name and "@" not in name}
        | {name: list(config[name]) for name in ("reg", "logger")},
        "overrides": [with_whole_path(override) for override in hydra.overrides.task],
        "warnings": departures(config, choices),
    }


@rank_zero_only
def set_aside(directory: Path) -> None:
    """Puts a checkpoint that Lightning's own requeuing has left, in earlier versions, among the others.

    Where it was Lightning would go on from it, without a word, and with a `metrics.csv` that begins in the middle.
    """
    for path in directory.glob("hpc_ckpt_*.ckpt"):
        (directory / "checkpoints").mkdir(exist_ok=True)
        path.rename(directory / "checkpoints" / path.name)


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def quieten() -> None:
    """Leaves the screen to what concerns the run."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
