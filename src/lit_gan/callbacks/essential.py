"""What a game asks of every training, beside its training step."""

from lightning.pytorch import Callback

from lit_gan.callbacks.compilation import Compilation
from lit_gan.callbacks.curves_log import CurvesLog
from lit_gan.callbacks.learning_rates import LearningRates
from lit_gan.callbacks.moving_average import MovingAverage
from lit_gan.callbacks.soundness import Soundness
from lit_gan.module import GAN


def essential_callbacks(gan: GAN) -> list[Callback]:
    """Builds the callbacks that a Trainer of one's own needs, too, in the order in which they act.

    Without them the moving average and the learning rates stay where they are, the curves fill the
    memory, a game that has diverged goes on, and nothing is compiled.
    """
    compilation = [Compilation()] if gan.compiles else []
    return [*compilation, MovingAverage(), LearningRates(), CurvesLog(gan.curves), Soundness()]
