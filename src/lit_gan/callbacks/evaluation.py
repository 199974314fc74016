"""The metrics callback."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.callbacks.progress import Clock
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.metrics import Protocol
from lit_gan.metrics.measure import measure
from lit_gan.records.results import Results
from lit_gan.records.score_names import footnotes

log = logging.getLogger(__name__)


class Evaluation(Callback):
    """Scores the generator at the end of each epoch: to the loggers, to `results.json` and to `callback_metrics`.

    Training's random numbers and weights are untouched.

    Args:
        suite: the metrics, from the config group `metrics`.
        protocol: how they are taken.
        monitor, mode: the metric that names the best update, "min" or "max".
    """

    def __init__(
        self,
        suite: Any,
        source: Source,
        protocol: Protocol,
        results: Results,
        clock: Clock,
        monitor: str,
        mode: str,
    ):
        self.suite, self.source, self.protocol = suite, source, protocol
        self.results, self.clock, self.monitor, self.mode = results, clock, monitor, mode

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says which scores cannot bear comparison."""
        caveats = self.suite.caveats(self.source, self.protocol)
        if trainer.is_global_zero:
            for line in footnotes({"caveats": caveats, "protocol": {"name": self.protocol.name}}):
                log.warning(line)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates under the protocol for training, every process its share of the samples.

        Not again, if training goes on from an epoch whose scores a kill had left room for.
        """
        record = trainer.strategy.broadcast(self.recorded(trainer.global_step)) or self.take(trainer, pl_module)
        self.clock.add("evaluation", record["seconds"])
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(record["scores"], step=trainer.global_step)
        scores = trainer.strategy.broadcast(record["scores"])
        if trainer.training:  # else it has ended, and this is what a kill has left out
            for name, value in scores.items():
                pl_module.log(name, value, logger=False, rank_zero_only=False)

    def recorded(self, update: int) -> dict[str, Any] | None:
        """The record of this update, if there is one."""
        course = self.results.content["course"]
        return course[-1] if course and course[-1]["update"] == update else None

    def take(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """A new record, which the first process adds to the results.

        Raises:
            UserError: the monitored score is not among its scores.
        """
        record = measure(pl_module, self.suite, self.source, self.protocol, trainer.global_step, "last")
        self.require_monitor(record)
        if trainer.is_global_zero:
            self.results.add(record, self.monitor, self.mode)
        return record

    def require_monitor(self, record: dict[str, Any]) -> None:
        """Refuses scores without the monitored one.

        Raises:
            UserError: names those there are.
        """
        if self.monitor not in record["scores"]:
            raise UserError(
                f"metrics.monitor={self.monitor.rpartition('/')[2]} is not measured on data={self.source.name}: choose "
                f"one of {', '.join(name.rpartition('/')[2] for name in record['scores'])}."
            )
