"""The training curves on their way to the loggers."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.curves import Curves


class CurvesLog(Callback):
    """Logs the mean of each curve every `log_every_n_steps` generator updates and at an epoch's
    end.

    The means of an epoch's end wait until its checkpoint, which holds them, is written: `SaveFirst`
    logs them then. Comes after every callback that takes part in an update, as a logger may fail.

    Args:
        curves: of the game, which adds to them in every turn.
    """

    def __init__(self, curves: Curves):
        self.curves = curves
        self.last_flushed_update = 0
        """The generator update at the end of the last interval."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps the running interval."""
        history = self.curves.state_dict()
        checkpoint["curves"] = {"flushed": self.last_flushed_update, "history": history}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes up the cut interval; in earlier versions a checkpoint ended an interval."""
        saved = checkpoint.get("curves", {"flushed": checkpoint["global_step"], "history": {}})
        self.last_flushed_update = saved["flushed"]
        self.curves.load_state_dict(saved["history"], trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Closes an interval that is full, or the last one of an epoch.

        Raises:
            Diverged: a value in it is not finite.
        """
        if trainer.is_last_batch or trainer.global_step == trainer.max_steps:
            self.close(trainer)
        elif self.is_due(trainer):
            self.close(trainer)
            self.log_means(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the epoch's last means, unless a callback before this one has done it."""
        self.log_means(trainer)

    def is_due(self, trainer: Trainer) -> bool:
        """Whether this generator update fills an interval."""
        return trainer.global_step % trainer.log_every_n_steps == 0

    def close(self, trainer: Trainer) -> None:
        """Takes the mean of each curve over the interval that ends with this update.

        Raises:
            Diverged: a value in it is not finite.
        """
        if self.curves.history:
            self.curves.close(self.last_flushed_update + 1, trainer.global_step)
            self.last_flushed_update = trainer.global_step

    def log_means(self, trainer: Trainer) -> None:  # `log` is what Lightning gives to every callback
        """Sends the means that no logger has seen to the loggers, at the present update."""
        if self.curves.unlogged:
            for logger in trainer.loggers:
                logger.log_metrics(self.curves.unlogged, step=trainer.global_step)
        self.curves.unlogged = {}

    def prepare_stop(self, trainer: Trainer) -> None:
        """Makes the curves ready for a checkpoint in the middle of an epoch.

        An interval that is not full stays open: a stop and a resume leave no trace in the curves.

        Raises:
            Diverged: a value in it is not finite.
        """
        if self.is_due(trainer):
            self.close(trainer)
        elif self.curves.history:
            self.curves.checked(self.last_flushed_update + 1, trainer.global_step)
