"""Checkpoints that a kill cannot break, and an orderly stop."""

import signal
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lit_gan.files import replacing
from lit_gan.results import Results
from lit_gan.signals import received, takeable


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Leaves either the old file or the whole new one at `path`.

        Raises:
            Unwritable: it cannot be written, on a full disk for one.
        """
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)


class Checkpoints(Checkpoint):
    """`last.ckpt` after every epoch, `best.ckpt` too if it was the best so far, and a stop on Ctrl-C or a signal.

    Args:
        directory: where the files go.
        results: they know which update is the best.
    """

    def __init__(self, directory: Path, results: Results):
        self.directory, self.results = directory, results
        self.stopping = False
        self.handlers: dict[int, Any] = {}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets Lightning go on in that epoch, and at that place in it, to which the generator update belongs.

        Left alone, it plays an epoch of one update after a checkpoint from the end of an epoch.
        """
        update = checkpoint["global_step"]
        epoch, place = divmod(update, trainer.limit_train_batches)
        loops, started = checkpoint["loops"]["fit_loop"], epoch + (place > 0)
        counts = {"ready": started, "started": started, "processed": epoch, "completed": epoch}
        loops["epoch_progress"] = {"total": counts, "current": dict(counts)}
        loops["epoch_loop.batch_progress"] = {
            "total": {"ready": update, "started": update, "processed": update, "completed": update - (place > 0)},
            "current": {"ready": place, "started": place, "processed": place, "completed": place - (place > 0)},
            "is_last_batch": False,
        }

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves, and stops if asked to; runs after every callback that measures."""
        if trainer.fast_dev_run:
            return
        best = self.results.content["best"]
        if trainer.strategy.reduce_boolean_decision(bool(best) and best["update"] == trainer.global_step, all=False):
            trainer.save_checkpoint(self.directory / "best.ckpt")
        trainer.save_checkpoint(self.directory / "last.ckpt")
        if trainer.strategy.reduce_boolean_decision(self.stopping, all=False):
            raise Stopped(trainer.global_step)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remembers who takes the signals, before Lightning does: these are to have them back after the training."""
        numbers = takeable()
        self.handlers = {number: signal.getsignal(number) for number in [signal.SIGINT, *numbers] if numbers}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals."""
        for number in self.handlers:
            signal.signal(number, self.request)

    def request(self, number: int, frame: Any) -> None:
        """Asks for a stop; a second Ctrl-C stops at once."""
        self.stopping = True
        received.add(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stops if any process was asked to, with everything up to this update saved.

        Several processes ask each other as seldom as they log, for the answer makes a GPU wait.
        """
        if trainer.world_size > 1 and (trainer.global_step - 1) % trainer.log_every_n_steps:
            return
        stopping = trainer.strategy.reduce_boolean_decision(self.stopping, all=False)
        if stopping and not trainer.is_last_batch:
            pl_module.prepare_stop()
            trainer.save_checkpoint(self.directory / "last.ckpt")
            raise Stopped(trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the signals back."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


class Stopped(Exception):
    """Training was asked to stop, and did, with a checkpoint at `update`."""

    def __init__(self, update: int):
        super().__init__(f"stopped at generator update {update}")
        self.update = update
