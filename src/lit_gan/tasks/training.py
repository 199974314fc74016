"""One training run, from its config to its last score."""

import copy
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from lit_gan.build import build_data, build_gan, build_source, check_training, complete_data, complete_metrics
from lit_gan.callbacks import Stopped, who_ends
from lit_gan.errors import UserError
from lit_gan.metrics.measure import measure
from lit_gan.records.branch import FIXES_WEIGHTS, parent_record, unfit_state
from lit_gan.records.curve_names import FINAL
from lit_gan.records.difference import first_difference
from lit_gan.records.directory import (
    config_texts,
    open_run,
    recorded_config,
    remove_unfinished_files,
    set_aside_old_checkpoints,
)
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.results import Results
from lit_gan.records.trace import begin_log, leaving_nothing
from lit_gan.system.signals import STOPPED, handling, interrupt, received
from lit_gan.tasks.collapse import SETTLED, equal_samples, exploded_loss, lost_score
from lit_gan.tasks.failures import advising, explaining
from lit_gan.tasks.first_record import facts_of_run
from lit_gan.tasks.initial import take_networks
from lit_gan.tasks.loading import load_weights, read_checkpoint
from lit_gan.tasks.loggers import alert, build_loggers, closing_wandb, start_loggers, telling_the_end
from lit_gan.tasks.run_callbacks import RunCallbacks
from lit_gan.tasks.scoring import Scoring
from lit_gan.tasks.summary import print_summary
from lit_gan.tasks.trainer import build_trainer, check_shares, trainer_arguments

log = logging.getLogger("lit_gan")


def train_run(config: DictConfig) -> None:
    """Trains, scores and reports the run in Hydra's output directory; resumes it if that holds a
    run of the same game.

    Raises:
        UserError: something that the user can put right.
        SystemExit: 130, after a stop by Ctrl-C or one of `STOPPING`'s signals.
    """
    quieten_libraries()
    directory = Path(HydraConfig.get().runtime.output_dir)
    with handling(interrupt), leaving_nothing(directory):
        check_training(config)
        trainer_arguments(config.trainer)  # refuses, and tells this process its rank, before anything is written
        with open_run(config, directory) as checkpoint:
            complete_data(config)
            complete_metrics(config)
            results = Results(directory)
            train_from(checkpoint, config, results)
            print_summary(directory, results.content, config.data.shape)
    if results.content["status"] == "stopped" and not results.content.get("stopped_by"):
        sys.exit(STOPPED)


def train_from(checkpoint: Path | None, config: DictConfig, results: Results) -> None:
    """Trains from a checkpoint, or from the beginning if it is None, unless the last update has
    been reached before.

    Raises:
        UserError: something that the user can put right, such as fewer updates than there were.
    """
    saved = read_checkpoint(checkpoint) if checkpoint else None
    update = saved["global_step"] if saved else 0
    if results.content.get("status") == "finished" and update >= config.updates:
        log.info("already finished at update %d; a larger `updates` goes on", update)
        return
    if update > config.updates:
        raise UserError(
            f"updates={config.updates} is less than the {update} of {checkpoint}: set it to {update} or more."
        )
    with results.ending():
        run = TrainingRun(config, results, checkpoint, update)
        if saved:
            run.load(saved)
            run.check_turns_left()
        with closing_wandb(run.loggers), telling_the_end(run.told, results), advising(run.directory, run.saved):
            run.train()


class TrainingRun:
    """The parts of a run, made from its config, and the order in which they are used.

    Whatever can be refused is refused while the parts are made or before Lightning's first update,
    and nothing is written until then: the first bytes are those of `begin`.

    Args:
        config: of the run, with all paths absolute.
        results: the run's record, which lies in the run's directory.
        checkpoint: the one to start from: the run's own, or its parent's if the run is a branch
            that begins; or None.
        update: the generator update of that checkpoint.
    """

    def __init__(self, config: DictConfig, results: Results, checkpoint: Path | None = None, update: int = 0):
        self.config, self.results, self.directory = config, results, results.path.parent
        self.as_chosen = copy.deepcopy(config)  # making a part of it fills in the interpolations for good
        self.checkpoint, self.update = checkpoint, update
        self.table, self.loggers = MetricsCsv(self.directory), build_loggers(config, update)
        self.table.resume(update)
        self.source = build_source(config)
        self.scoring = Scoring(config, self.source)
        self.gan, self.data = build_gan(config), build_data(config, self.source)
        self.taken = take_networks(self.gan, Path(config.init)) if checkpoint is None and config.get("init") else None
        self.callbacks = RunCallbacks(config, results, self.scoring, self.gan, self.data.images_per_update)
        self.clock, self.checkpoints = self.callbacks.clock, self.callbacks.checkpoints
        # the other loggers join the table when the run begins
        in_order = self.callbacks.in_order(self.begin, self.branches)
        self.trainer = build_trainer(config, self.directory, self.table, in_order)
        self.device = self.trainer.strategy.root_device
        check_shares(config, self.trainer.world_size)
        self.scoring.prepare(self.gan.G, self.device)

    @property
    def told(self) -> dict[str, Logger]:
        """The loggers that are told anything: none in a fast_dev_run, where Lightning logs
        nothing."""
        return {} if self.config.trainer.fast_dev_run else self.loggers

    @property
    def branches(self) -> bool:
        """Whether the run begins in the state of another run."""
        return self.checkpoint is not None and self.checkpoint.parent.parent != self.directory

    def load(self, content: dict[str, Any]) -> None:
        """Puts the weights of the content of `checkpoint` into the players, which have the precision of
        the training from here on.

        Raises:
            UserError: they do not fit.
        """
        # Lightning restores before it converts, which would round weights in double precision to single
        self.trainer.precision_plugin.convert_module(self.gan)
        try:
            load_weights(self.gan, content, self.checkpoint)
        except UserError:
            parent = self.checkpoint.parent.parent
            if self.branches and (changed := first_difference(recorded_config(parent), self.as_chosen, FIXES_WEIGHTS)):
                raise unfit_state(parent, *changed) from None
            raise

    def check_turns_left(self) -> None:
        """Holds that a branch that begins has something to play.

        Raises:
            UserError: the run that it begins in has come as far as the branch is to go.
        """
        if self.branches and self.update == self.config.updates:
            raise UserError(
                f"updates={self.update} leaves a branch nothing to play, as {self.checkpoint} is of update "
                f"{self.update}: set it to more than {self.update}."
            )

    def train(self) -> None:
        """Trains, takes the final scores, and leaves the status in the results.

        Raises:
            UserError: something that the user can put right.
        """
        try:
            with explaining(self.config, self.results, self.trainer.world_size):
                self.train_to_the_end()
        except Stopped as stop:
            who = ", ".join(signal.Signals(each).name for each in received) or stop.by or "stopped with another process"
            log.info("%s: saved at update %d", who, stop.update)
            self.results.stop(stop.update, stop.by, self.clock.rates(stop.update))
            return
        if self.trainer.is_global_zero:
            if not self.trainer.fast_dev_run:
                self.results.add_warnings(signs := self.signs_of_collapse())
                alert(self.told, "Signs of a collapse", signs, "WARN")
            self.results.close("finished")

    def train_to_the_end(self) -> None:
        """Trains until the last update, and scores the generator then.

        Raises:
            Stopped: the training was asked to end early.
        """
        path = self.checkpoint and str(self.checkpoint)
        if path is None:
            set_aside_old_checkpoints(self.directory)
        self.trainer.fit(self.gan, self.data, ckpt_path=path, weights_only=True)
        with self.failing_together():
            self.catch_up()
            if self.trainer.global_step < self.config.updates and not self.config.trainer.fast_dev_run:
                raise Stopped(self.trainer.global_step, who_ends(self.trainer))
            self.take_final_scores()

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Ends all processes when one fails after the last update, as Lightning has it before."""
        try:
            yield
        except BaseException as error:
            self.callbacks.shared_failure.on_exception(self.trainer, self.gan, error)
            raise

    def begin(self) -> None:
        """Starts the loggers and writes the run's first files; nothing has been written before."""
        if self.results.started:
            return
        start_loggers(self.config, self.told, self.directory)
        if self.branches:  # first of all, as without it the directory would be that of a run from its very beginning
            self.callbacks.random_state.on_train_start(self.trainer, self.gan)
            self.checkpoints.save(self.trainer)
        self.write_first_files()
        remove_unfinished_files(self.directory)
        set_aside_old_checkpoints(self.directory)
        if not self.trainer.fast_dev_run:
            self.trainer.loggers = [self.table, *self.loggers.values()]
        begin_log()
        for sentence in self.results.content["warnings"]:
            log.warning(sentence)

    def write_first_files(self) -> None:
        """Writes the config, the table up to the present update and the results: all of them, or
        none."""
        texts = config_texts(self.as_chosen, self.directory) | {self.table.path: self.table.text()}
        facts = facts_of_run(self.config, self.source, self.trainer)
        if self.branches:
            facts["parent"] = parent_record(self.checkpoint, self.update)
        elif self.taken:
            facts["parent"] = self.taken
        self.results.start(self.update, texts, **facts)

    def catch_up(self) -> None:
        """Does what a kill has left undone, if the training was at its last update already and so
        has not begun."""
        if not self.results.started:
            self.begin()
            self.callbacks.random_state.on_train_start(self.trainer, self.gan.to(self.device))
            self.checkpoints.catch_up(self.trainer, self.gan)

    def take_final_scores(self) -> None:
        """Takes the full evaluation after the last update, if there are metrics.

        Every process generates its share of the samples.
        """
        suite, protocol, update = self.scoring.suite, self.scoring.final, self.trainer.global_step
        if suite is None:
            return
        if self.trainer.is_global_zero:
            log.info("scoring %d samples under protocol %s", protocol.generated, protocol.name)
        record = measure(self.gan.to(self.device), suite, self.source, protocol, update, "last")
        self.clock.add("evaluation", record["seconds"])
        self.results.add_final(record, self.clock.rates(update))
        for logger in self.trainer.loggers:
            logger.log_metrics({f"{FINAL}{name}": value for name, value in record["scores"].items()}, step=update)

    def saved(self) -> int | None:
        """The update of the newest checkpoint; None if there is none."""
        return self.checkpoints.saved

    def signs_of_collapse(self) -> list[str]:
        """A sentence for each sign of a collapse that the end of the training shows."""
        signs = [exploded_loss(self.table.path)]
        if self.scoring.monitor:
            signs.append(lost_score(self.results.content["course"], self.scoring.monitor, self.scoring.mode))
        if self.trainer.global_step >= SETTLED:
            signs.append(equal_samples(self.gan.generator(ema=True), self.source))
        return [sign for sign in signs if sign]


def quieten_libraries() -> None:
    """Leaves the screen to what concerns the run."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
