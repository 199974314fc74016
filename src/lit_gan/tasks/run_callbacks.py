"""The callbacks of a training run: everything that happens beside its steps, and in which order."""

from collections.abc import Callable

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, LambdaCallback
from omegaconf import DictConfig

from lit_gan.callbacks import (
    Checkpoints,
    Clock,
    CurvesFigure,
    EpochLog,
    Evaluation,
    ProgressBar,
    RandomState,
    SaveFirst,
    SharedFailure,
    essential_callbacks,
)
from lit_gan.callbacks.branch import Branch
from lit_gan.module import GAN
from lit_gan.parts import build_part, selected
from lit_gan.records.layout import checkpoints_folder
from lit_gan.records.results import Results
from lit_gan.tasks.scoring import Scoring


class RunCallbacks:
    """The callbacks of a run.

    Args:
        config: of the run.
        results: the run's record, which lies in the run's directory.
        scoring: the metrics of the run.
        gan: the game.
        images_per_update: real images that a generator update takes, on all devices together.

    Attributes:
        clock: counts the seconds of training and of evaluation.
        random_state: seeds torch at the beginning, and restores its state at a resume.
        shared_failure: ends all processes when one fails.
        followers: the callbacks that act between the two saves at the end of an epoch.
        checkpoints: saves, and stops the training when it is asked to.
    """

    def __init__(self, config: DictConfig, results: Results, scoring: Scoring, gan: GAN, images_per_update: int):
        self.config, self.results, self.scoring, self.gan = config, results, scoring, gan
        self.clock = Clock(images_per_update)
        self.random_state = RandomState(config.seed)
        self.shared_failure = SharedFailure(results)
        self.followers = self.build_followers()
        self.essential = essential_callbacks(gan)
        *_, curves_log, soundness = self.essential
        folder = checkpoints_folder(results.path.parent)
        self.checkpoints = Checkpoints(folder, results, curves_log, soundness, self.followers)

    def build_followers(self) -> list[Callback]:
        """The callbacks that the config chooses, then the evaluation if there are metrics, then a
        line in the log."""
        scoring = self.scoring
        followers = [build_part(self.config.callbacks[name], Callback) for name in selected(self.config.callbacks)]
        if scoring.suite is not None:
            arguments = (self.results, self.clock, scoring.monitor, scoring.mode)
            followers.append(Evaluation(scoring.suite, scoring.source, scoring.during, *arguments))
        followers.append(EpochLog(self.results, self.clock, self.gan.curves))
        # Lightning calls these after all others, wherever they stand, and `Checkpoints` must catch up in that order
        return sorted(followers, key=lambda callback: isinstance(callback, EarlyStopping | Checkpoint))

    def in_order(self, begin: Callable[[], None], branches: bool) -> list[Callback]:
        """All callbacks, in the order in which they act.

        The clock and what belongs to an update come first, then a save, then what measures and
        shows, then the curves and the soundness check, and a save with the epoch's results last.

        Args:
            begin: writes the run's first files; it is called when the training starts.
            branches: whether the run begins in the state of another run.
        """
        *compilation, average, rates, curves_log, soundness = self.essential
        with_bar = self.config.trainer.enable_progress_bar
        return [
            LambdaCallback(on_train_start=lambda *_: begin()),
            *([Branch()] if branches else []),
            self.clock,
            self.random_state,
            *compilation,
            average,
            rates,
            SaveFirst(self.checkpoints),
            *self.followers,
            CurvesFigure(self.results, self.scoring.suite.SCORES if self.scoring.suite else {}),
            *([ProgressBar(self.clock, self.gan.curves, self.scoring.monitor)] if with_bar else []),
            self.shared_failure,
            curves_log,
            soundness,
            self.checkpoints,
        ]
