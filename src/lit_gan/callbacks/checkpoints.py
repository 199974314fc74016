"""Checkpoints that a kill cannot break, and an orderly stop."""

import pickle
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, Timer

from lit_gan.callbacks.curves_log import CurvesLog
from lit_gan.callbacks.soundness import Soundness
from lit_gan.curves import Diverged
from lit_gan.errors import UserError, one_line
from lit_gan.records.files import replacing
from lit_gan.records.results import TIME_LIMIT, Results
from lit_gan.system.signals import received, takeable


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a kill leaves either the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Leaves either the old file or the whole new one at `path`.

        Raises:
            Unwritable: it cannot be written, on a full disk for one.
            UserError: it could not be read again.
        """
        with replacing(Path(path)) as temporary:
            try:
                with temporary.open("wb") as file:
                    torch.save(checkpoint, file)
                torch.load(temporary, map_location="cpu", weights_only=True, mmap=True)  # all but the tensors' values
            except NO_DATA as error:
                raise unresumable(checkpoint, error) from error


NO_DATA = (pickle.PickleError, AttributeError, TypeError)
"""What pickle raises for an object that cannot be saved, or is no data that can be read without its code."""


def unresumable(checkpoint: dict[str, Any], error: Exception) -> UserError:
    """The error for a checkpoint that no resume could read: names the callback or the part whose state holds
    what is no data."""
    parts = checkpoint.get("callbacks", {}) | {name: checkpoint[name] for name in checkpoint if name != "callbacks"}
    owner = next((name for name, state in parts.items() if not is_data(state)), "an object")
    named = re.search(r"Unsupported \w+: (?:GLOBAL )?(\S+)", str(error))
    reason = f"a {named[1]}" if named else one_line(str(error))
    return UserError(
        f"A checkpoint cannot hold the state of {owner} ({reason}): let its state_dict give tensors, numbers, text, "
        f"lists and dicts only."
    )


def is_data(state: Any) -> bool:
    """Whether a state can be saved, and read without running code."""
    try:
        torch.save(state, file := BytesIO())
        torch.load(BytesIO(file.getvalue()), map_location="cpu", weights_only=True)
    except NO_DATA:
        return False
    return True


class Checkpoints(Checkpoint):
    """`last.ckpt` after every epoch, `best.ckpt` too if it was the best so far, and a stop on
    Ctrl-C or a signal.

    An epoch is saved twice: by `SaveFirst` before anything else is done with it, marked as
    unfinished, and here, last of all, with its scores taken. Training that goes on from an
    unfinished one makes up for what is missing, so that a kill in between costs nothing and leaves
    no trace.

    Args:
        directory: where the files go.
        results: they know which update is the best.
        curves_log: its means that no logger has seen yet are kept, too.
        soundness: looks at the weights before a save in the middle of an epoch.
        followers: the callbacks whose `on_train_epoch_end` follows the first save, in their order.
    """

    def __init__(
        self,
        directory: Path,
        results: Results,
        curves_log: CurvesLog,
        soundness: Soundness,
        followers: Sequence[Callback] = (),
    ):
        self.directory, self.results, self.followers = directory, results, followers
        self.curves_log, self.soundness = curves_log, soundness
        self.saved: int | None = None
        """The generator update of the newest `last.ckpt` that there is."""
        self.unfinished = self.stopping = False
        self.handlers: dict[int, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes whether the epoch's end is still to come, and which curves no logger has seen
        yet."""
        checkpoint["epoch_end"] = {"unfinished": self.unfinished, "curves": self.curves_log.curves.unlogged}

    def save(self, trainer: Trainer, name: str = "last") -> None:
        """Writes a checkpoint of the present update.

        Raises:
            Unwritable: it cannot be written; the one before is still there.
        """
        final = self.results.content.get("final")
        if final and final["update"] != trainer.global_step:  # these were the last update's, which now is another
            self.results.forget_final()
        trainer.save_checkpoint(self.directory / f"{name}.ckpt")
        self.saved = trainer.global_step if name == "last" else self.saved

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes up what `on_save_checkpoint` has noted, and puts Lightning at the right update."""
        self.saved = checkpoint["global_step"]
        self.resume_epoch_end(**checkpoint.get("epoch_end", {}))
        # An epoch is saved before Lightning's loops have counted it: with their own counts,
        # Lightning would play an epoch of one update after the resume.
        checkpoint["loops"]["fit_loop"] |= loop_progress(self.saved, trainer.limit_train_batches)

    def resume_epoch_end(self, unfinished: bool = False, curves: dict[str, float] | None = None) -> None:
        """Takes up an epoch's end; it is finished where an earlier version says nothing of it."""
        self.unfinished = unfinished
        self.curves_log.curves.restore_means(curves or {})

    def catch_up(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Does what a kill has left undone at the end of the epoch that training goes on from."""
        self.curves_log.log_means(trainer)
        if self.unfinished:
            for callback in (*self.followers, self):
                callback.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves, and stops if asked to; runs after every callback that measures."""
        if trainer.fast_dev_run:
            return
        self.unfinished = False
        best = self.results.content["best"]
        if trainer.strategy.reduce_boolean_decision(bool(best) and best["update"] == trainer.global_step, all=False):
            self.save(trainer, "best")
        self.save(trainer)
        self.stop_if_asked(trainer)

    def stop_if_asked(self, trainer: Trainer) -> None:
        """Ends the training, all of which is saved.

        Raises:
            Stopped: a signal, a setting or a callback has asked for it.
        """
        ended = ends_early(trainer)
        if trainer.strategy.reduce_boolean_decision(self.stopping or ended, all=False):
            raise Stopped(trainer.global_step, None if self.stopping or not ended else who_ends(trainer))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remembers who takes the signals, before Lightning does: these are to have them back after
        the training."""
        numbers = takeable()
        self.handlers = {number: signal.getsignal(number) for number in [signal.SIGINT, *numbers] if numbers}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals, then makes up for what a kill has left undone."""
        for number in self.handlers:
            signal.signal(number, self.request)
        self.catch_up(trainer, pl_module)

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
        stopping = trainer.strategy.reduce_boolean_decision(self.stopping or ends_early(trainer), all=False)
        if stopping and not trainer.is_last_batch:
            self.save_within_epoch(trainer, pl_module)
            self.curves_log.log_means(trainer)
            self.stop_if_asked(trainer)

    def save_within_epoch(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves in the middle of an epoch, so that a resume goes on as if there had been no stop.

        Raises:
            Diverged: there is nothing worth saving.
        """
        self.curves_log.prepare_stop(trainer)
        self.soundness.check(pl_module)
        self.save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves the updates since the last checkpoint if what failed came after one of them, as a
        logger does."""
        batches = trainer.fit_loop.epoch_loop.batch_progress.current
        between_updates = batches.completed < batches.processed == batches.ready
        harmless = isinstance(exception, Exception) and not isinstance(exception, Diverged | Stopped)
        if harmless and between_updates and trainer.world_size == 1 and self.saved != trainer.global_step:
            with suppress(UserError):  # the first error is the one to tell
                self.save_within_epoch(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the signals back to those who had them before."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}


class SaveFirst(Callback):
    """Saves an epoch before anything else is done with it; comes after the clock has stopped."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """`last.ckpt` first, then the epoch's last curves to the loggers."""
        if not trainer.fast_dev_run:
            self.checkpoints.unfinished = True
            self.checkpoints.results.progress(trainer.global_step)
            self.checkpoints.save(trainer)
        self.checkpoints.curves_log.log_means(trainer)


def loop_progress(update: int, updates_per_epoch: int) -> dict[str, Any]:
    """The counts of Lightning's loops where a training goes on after a generator update.

    In the middle of an epoch its last batch is not completed yet, which is when Lightning itself
    saves.
    """
    epoch, place = divmod(update, updates_per_epoch)
    within = int(place > 0)
    epochs = {"ready": epoch + within, "started": epoch + within, "processed": epoch, "completed": epoch}
    return {
        "epoch_progress": {"total": epochs, "current": dict(epochs)},
        "epoch_loop.batch_progress": {
            "total": {"ready": update, "started": update, "processed": update, "completed": update - within},
            "current": {"ready": place, "started": place, "processed": place, "completed": place - within},
            "is_last_batch": False,
        },
    }


def ends_early(trainer: Trainer) -> bool:
    """Whether a setting of the trainer or a callback ends the training before its last update, and
    may."""
    least = max(trainer.min_steps or 0, (trainer.min_epochs or 0) * trainer.limit_train_batches)
    return trainer.should_stop and least <= trainer.global_step < trainer.max_steps


def who_ends(trainer: Trainer) -> str:
    """The setting or the callback that has ended the training."""
    for callback in trainer.callbacks:
        if isinstance(callback, Timer) and (callback.time_remaining() or 0) <= 0:
            return TIME_LIMIT
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            return f"EarlyStopping on {callback.monitor}"
    return "a callback"


class Stopped(Exception):
    """Training ended early, with a checkpoint at `update`.

    Args:
        by: the setting or callback that has ended it; None for a signal.
    """

    def __init__(self, update: int, by: str | None = None):
        super().__init__(f"stopped at generator update {update}" + (f" by {by}" if by else ""))
        self.update, self.by = update, by
