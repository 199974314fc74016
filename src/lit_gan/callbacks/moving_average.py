"""The moving average of the generator."""

from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_gan.module import GAN


class MovingAverage(Callback):
    """Lets the moving average of G, where the game keeps one, follow every generator update.

    Comes before every callback that may save a checkpoint or fail after an update.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Takes in what the update has made of G."""
        if pl_module.G_ema is not None:
            pl_module.G_ema.update_from(pl_module.G, trainer.global_step)
