"""Checkpoints that a kill cannot break, and an orderly stop."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name in the same directory, then renames it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Leaves either the old file or the whole new one at `path`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


class Checkpoints(Checkpoint):
    """`last.ckpt` after every epoch, `best.ckpt` by a metric, and a stop on Ctrl-C or SIGTERM after the running update.

    Args:
        directory: where the files go.
        monitor: name of the metric that decides, null for no `best.ckpt`.
        mode: "min" or "max".
    """

    def __init__(self, directory: Path, monitor: str | None, mode: str):
        self.directory, self.monitor, self.mode = directory, monitor, mode
        self.best: float | None = None
        self.stopping = False
        self.handlers: dict[int, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The best value so far, and of what."""
        return {"best": self.best, "monitor": self.monitor}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it, unless another metric decides now."""
        self.best = state_dict["best"] if state_dict["monitor"] == self.monitor else None

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
        """Saves; runs after every callback that measures."""
        if trainer.fast_dev_run:
            return
        if self.improved(trainer):
            trainer.save_checkpoint(self.directory / "best.ckpt")
        trainer.save_checkpoint(self.directory / "last.ckpt")

    def improved(self, trainer: Trainer) -> bool:
        """Whether the monitored metric is better than ever."""
        value = trainer.callback_metrics.get(self.monitor) if self.monitor else None
        if value is None or not torch.isfinite(value):
            return False
        value = value.item()
        better = self.best is None or (value < self.best if self.mode == "min" else value > self.best)
        self.best = value if better else self.best
        return better

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals."""
        self.handlers = {number: signal.signal(number, self.request) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(self, number: int, frame: Any) -> None:
        """Asks for a stop; a second Ctrl-C stops at once."""
        self.stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stops if any process was asked to, with everything up to this update saved."""
        stopping = trainer.strategy.reduce_boolean_decision(self.stopping, all=False)
        if stopping and not trainer.is_last_batch:
            pl_module.flush_curves()
            pl_module.check_sound()
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
