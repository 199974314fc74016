"""The callback that evaluates the generator while it trains."""

import logging
import math

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.callbacks.progress import Clock
from lit_gan.data import Source
from lit_gan.errors import UserError
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.records.results import Record, Results
from lit_gan.records.score_names import footnotes

log = logging.getLogger(__name__)


class Evaluation(Callback):
    """Scores the generator at the end of each epoch.

    The scores go to the loggers, to `results.json` and to `callback_metrics`. The random numbers
    and the weights of the training are left as they are.

    Args:
        suite: the metrics, from the config group `metrics`.
        source: the real samples.
        protocol: the one for evaluations during training.
        results: where the records go.
        clock: is told how long the evaluations take.
        monitor: the full name of the score that names the best update.
        mode: its good end, "min" or "max".
    """

    def __init__(
        self,
        suite: Suite,
        source: Source,
        protocol: EvalProtocol,
        results: Results,
        clock: Clock,
        monitor: str,
        mode: str,
    ):
        self.suite, self.source, self.protocol = suite, source, protocol
        self.results, self.clock, self.monitor, self.mode = results, clock, monitor, mode

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warns of scores that cannot bear comparison."""
        caveats = self.suite.caveats(self.source, self.protocol)
        if trainer.is_global_zero:
            for line in footnotes({"caveats": caveats, "protocol": {"name": self.protocol.name}}):
                log.warning(line)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the generator, unless it has been at this update, and passes the scores on.

        It has been where training resumes at the end of an epoch whose scores were recorded before
        it was killed.
        """
        record = trainer.strategy.broadcast(self.recorded(trainer.global_step))
        if record is None:
            record = self.evaluate(trainer, pl_module)
        self.clock.add("evaluation", record["seconds"])
        self.pass_on(record["scores"], trainer, pl_module)

    def recorded(self, update: int) -> Record | None:
        """The last record of the course, if it is of this update."""
        course = self.results.content["course"]
        return course[-1] if course and course[-1]["update"] == update else None

    def evaluate(self, trainer: Trainer, pl_module: LightningModule) -> Record:
        """A new record, for which every process makes its share of the samples.

        The first process adds it to the results.

        Raises:
            UserError: the monitored score is not among its scores.
        """
        record = measure(pl_module, self.suite, self.source, self.protocol, trainer.global_step, "last")
        self.require_monitor(record["scores"])
        if trainer.is_global_zero:
            self.results.add_to_course(record, self.monitor, self.mode)
        return record

    def require_monitor(self, scores: dict[str, float]) -> None:
        """Refuses scores without the monitored one.

        Raises:
            UserError: names those there are.
        """
        if self.monitor not in scores:
            measured = ", ".join(name.rpartition("/")[2] for name in scores)
            raise UserError(
                f"metrics.monitor={self.monitor.rpartition('/')[2]} is not measured on data={self.source.name}: choose "
                f"{f'one of {measured}' if measured else 'other metrics, as these gave no scores'}."
            )

    def pass_on(self, scores: dict[str, float], trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the scores to the loggers, and to other callbacks as `callback_metrics`."""
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(scores, step=trainer.global_step)
        scores = trainer.strategy.broadcast(scores)
        if trainer.training:  # after its end, where a kill had left these scores out, Lightning refuses to log
            for name, value in scores.items():
                pl_module.log(name, math.nan if value is None else value, logger=False, rank_zero_only=False)
