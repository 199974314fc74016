"""What a run shows while it trains, and how long it takes."""

import logging
import sys
import time
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from lit_gan.curves import Curves
from lit_gan.records.results import Results
from lit_gan.records.score_names import format_score, four_digits, short_name
from lit_gan.system.watching import on_terminal

log = logging.getLogger("lit_gan")
SILENCE = 600.0
"""Seconds without a line, after which one says how long the training will take."""
REFRESH = 0.2
"""Seconds between two states of the progress bar."""
SMOOTHING = 0.05
"""Weight of the newest interval in the speed that foretells the time left: low, as evaluations come
at intervals."""
OUTPUTS = ("d/real", "d/fake")
"""Curves for which the line has no room."""


class Clock(Callback):
    """Seconds of training and of evaluation, over all the resumes of a run. Comes first among the
    callbacks.

    It counts from update `first` on, which is 0 but for a branch.

    Args:
        images_per_update: real images, to give a speed.
    """

    def __init__(self, images_per_update: int):
        self.images_per_update = images_per_update
        self.seconds = {"training": 0.0, "evaluation": 0.0}
        self.started: float | None = None
        self.speed = float("nan")
        self.first = self.epoch_start = 0

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far, since which update, and the speed of the last epoch."""
        self.lap()
        return {"seconds": dict(self.seconds), "first": self.first, "speed": self.speed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the seconds of a checkpoint."""
        self.seconds = dict(state_dict["seconds"])
        self.first, self.speed = state_dict.get("first", 0), state_dict.get("speed", self.speed)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock after a resume within an epoch, where Lightning starts no epoch."""
        if trainer.global_step % trainer.limit_train_batches:
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self.started, self.epoch_start = time.perf_counter(), trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock before anything is measured."""
        before = self.seconds["training"]
        self.lap()
        self.started = None
        elapsed = max(self.seconds["training"] - before, 1e-9)
        self.speed = (trainer.global_step - self.epoch_start) * self.images_per_update / elapsed

    def lap(self) -> None:
        """Adds the time since the last start to the seconds of training."""
        if self.started is not None:
            now = time.perf_counter()
            self.add("training", now - self.started)
            self.started = now

    def add(self, what: str, seconds: float) -> None:
        """Adds to "training" or "evaluation"."""
        self.seconds[what] += seconds

    def rates(self, updates: int) -> dict[str, Any]:
        """For `results.json`: the seconds, and generator updates and real images per second of
        training."""
        per_second = (updates - self.first) / self.seconds["training"] if self.seconds["training"] else None
        images = per_second and per_second * self.images_per_update
        return {"seconds": dict(self.seconds), "updates_per_second": per_second, "images_per_second": images}


class EpochLog(Callback):
    """One line in `train.log` and a fresh `results.json` at the end of each epoch. Comes after
    Evaluation.

    In an epoch that takes longer than `SILENCE`, also a line with the time left after so many
    seconds.
    """

    def __init__(self, results: Results, clock: Clock, curves: Curves):
        self.results, self.clock, self.curves = results, clock, curves
        self.start = self.spoke = 0.0
        self.first_update = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes when and where this process takes over, to foretell the time left."""
        self.start = self.spoke = time.perf_counter()
        self.first_update = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Writes a line with the time left if there has been none for long."""
        now = time.perf_counter()
        if now - self.spoke > SILENCE and trainer.is_global_zero:
            self.spoke = now
            done, left = trainer.global_step - self.first_update, trainer.max_steps - trainer.global_step
            seconds = Tqdm.format_interval((now - self.start) / done * left)
            log.info("update %d/%d  %s left", trainer.global_step, trainer.max_steps, seconds)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the epoch's line: update, losses, scores, speed."""
        if not trainer.is_global_zero:
            return
        self.results.progress(trainer.global_step, self.clock.rates(trainer.global_step))
        self.results.save()
        scores, caveats = scores_at(self.results, trainer.global_step)
        values = self.curves.latest | scores
        shown = "  ".join(f"{name} {format_score(value, name in caveats)}" for name, value in values.items())
        self.spoke = time.perf_counter()
        log.info("update %d/%d  %s  %.0f images/s", trainer.global_step, trainer.max_steps, shown, self.clock.speed)


def scores_at(results: Results, update: int) -> tuple[dict[str, float], dict[str, str]]:
    """The scores taken at this update, if any were, and why some of them cannot bear comparison."""
    course = results.content["course"]
    record = course[-1] if course and course[-1]["update"] == update else {}
    return record.get("scores", {}), record.get("caveats", {})


class ProgressBar(TQDMProgressBar):
    """How far the whole run is, in generator updates, and the time left; silent where nobody
    watches a terminal.

    Beside it stand losses, real images per second and the last monitored score. The time left
    counts evaluations in. What is logged meanwhile stands above the bar.

    Args:
        curves: of the game; the newest means are shown.
        monitor: name of the score that is shown, null for none.
    """

    def __init__(self, clock: Clock, curves: Curves, monitor: str | None):
        super().__init__(refresh_rate=int(on_terminal()))
        self.clock, self.curves, self.monitor = clock, curves, monitor
        self.shown_at = 0.0
        self.redirection = ExitStack()

    def init_train_tqdm(self) -> Tqdm:
        """The bar, from the update at which this process takes over."""
        return Tqdm(
            desc="training",
            total=self.trainer.max_steps,
            initial=self.trainer.global_step,
            unit=" updates",
            disable=self.is_disabled,
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=SMOOTHING,
            bar_format=self.BAR_FORMAT,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the bar; from now on log lines stand above it."""
        super().on_train_start(trainer, pl_module)
        if not self.is_disabled:
            self.redirection.enter_context(logging_redirect_tqdm(tqdm_class=Tqdm))

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Leaves the bar as it is: it is of the whole run, unlike Lightning's own."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Moves the bar, a few times a second."""
        if time.perf_counter() - self.shown_at > REFRESH or trainer.is_last_batch:
            self.show(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the new score."""
        self.show(trainer, pl_module)

    def show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the bar as it is now."""
        if not self.is_disabled:
            self.shown_at = time.perf_counter()
            self.train_progress_bar.n = trainer.global_step
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_end(self, *_: Any) -> None:
        """Takes the bar away."""
        self.train_progress_bar.close()
        self.redirection.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Takes the bar away, so that what is said next stands on a line of its own."""
        if self._train_progress_bar is not None:
            self.on_train_end()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns what stands at the right of the bar."""
        updates = trainer.global_step - self.clock.epoch_start
        elapsed = time.perf_counter() - (self.clock.started or time.perf_counter())
        speed = {"images/s": f"{updates * self.clock.images_per_update / elapsed:.0f}"} if elapsed > 0 else {}
        score = trainer.callback_metrics.get(self.monitor) if self.monitor else None
        shown = {} if score is None else {short_name(self.monitor): four_digits(score.item())}
        losses = {name: value for name, value in self.curves.latest.items() if name not in OUTPUTS}
        return speed | shown | {name: f"{value:.3g}" for name, value in losses.items()}
