"""When one of several processes fails."""

import signal
import time

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.callbacks.checkpoints import Stopped
from lit_gan.errors import reason_of
from lit_gan.records.results import Results

GRACE = 3.0
"""Seconds in which the first process may fail of the same thing, and say so for all."""


class SharedFailure(Callback):
    """Ends all processes when one fails, so that none waits for it for ever, and lets only that one
    say why."""

    def __init__(self, results: Results):
        self.results = results

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Kills the others from the first process; from another, leaves the reason where the first
        one finds it."""
        if trainer.world_size == 1 or isinstance(exception, Stopped):
            return
        launcher = trainer.strategy.launcher
        if trainer.is_global_zero and launcher is not None:
            launcher.kill(signal.SIGKILL)
        elif not trainer.is_global_zero:
            if not isinstance(exception, KeyboardInterrupt):
                self.results.mark_failed(reason_of(exception))
            time.sleep(GRACE)
