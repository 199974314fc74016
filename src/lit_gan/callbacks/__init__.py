"""What happens beside the training step: evaluation, samples, checkpoints, progress, failures."""

from lit_gan.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints, SaveFirst, Stopped, who_ends
from lit_gan.callbacks.curves_figure import CurvesFigure
from lit_gan.callbacks.essential import essential_callbacks
from lit_gan.callbacks.evaluation import Evaluation
from lit_gan.callbacks.failure import SharedFailure
from lit_gan.callbacks.progress import Clock, EpochLog, ProgressBar
from lit_gan.callbacks.random_state import RandomState
from lit_gan.callbacks.samples import SampleGrid

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "Clock",
    "CurvesFigure",
    "EpochLog",
    "Evaluation",
    "ProgressBar",
    "RandomState",
    "SampleGrid",
    "SaveFirst",
    "SharedFailure",
    "Stopped",
    "essential_callbacks",
    "who_ends",
]
