"""The figure that a run leaves of its course."""

import logging
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.callbacks.checkpoints import Stopped
from lit_gan.figures.training_curves import save_training_curves
from lit_gan.records.chosen import choices_in_words
from lit_gan.records.results import Results

log = logging.getLogger("lit_gan")


class CurvesFigure(Callback):
    """Writes `curves.png` from `metrics.csv` when the training ends, however it ends.

    Args:
        results: of the run, whose choices are the title.
        ends: short name of a score -> its good end, "min" or "max".
    """

    def __init__(self, results: Results, ends: Mapping[str, str]):
        self.results, self.ends = results, ends
        self.first_update: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remembers where this process takes over."""
        self.first_update = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the figure of a whole training."""
        if trainer.is_global_zero and not trainer.fast_dev_run:
            self.save()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Draws after a stop or a failure, unless nothing was trained or a second Ctrl-C cannot
        wait."""
        trained = self.first_update is not None and trainer.global_step > self.first_update
        if not trained or trainer.fast_dev_run or isinstance(exception, KeyboardInterrupt):
            return
        path = self.save() if trainer.is_global_zero else None
        if path and not isinstance(exception, Stopped):
            log.info("%s shows the course until then", path)

    def save(self) -> Path | None:
        """Draws the figure; returns its path, or None if there was nothing to draw."""
        title = choices_in_words(self.results.content.get("choices", {}), between="   ")
        try:
            return save_training_curves(self.results.path.parent, title, self.ends)
        except Exception as error:  # a picture must not take a trained run with it, whatever is wrong with it
            log.warning("curves.png could not be drawn: %s", error)
            return None
