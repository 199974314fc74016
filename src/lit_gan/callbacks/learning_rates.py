"""The decay of the learning rates."""

import logging
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_gan.module import GAN
from lit_gan.optim import realign

log = logging.getLogger("lit_gan")


class LearningRates(Callback):
    """Moves both players' learning rates on after every generator update, if they decay at all.

    Comes after `MovingAverage` and before every callback that may save a checkpoint.
    """

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Takes up the decay where the config has it now, and warns if that has changed."""
        factors = [realign(config.scheduler) for config in trainer.lr_scheduler_configs]
        before, now = factors[0] if factors else (1, 1)
        if before != now and trainer.is_global_zero:
            log.warning(
                "optim.decay_end=%d is not where the decay ended before this resume: "
                "at update %d the learning rates go from %.3g to %.3g times their start",
                *(pl_module.optim.decay_end, trainer.global_step, before, now),
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Sets the rates of the next update."""
        for config in trainer.lr_scheduler_configs:
            config.scheduler.step()
