"""The distributions of the players' weights and gradients over training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lit_gan.errors import UserError
from lit_gan.game import in_float64
from lit_gan.module import GAN
from lit_gan.ranges import AtLeastTwo, Count, checked


class Histogram(NamedTuple):
    """How many of some numbers lie in bins of equal width.

    Attributes:
        counts: [bins].
        edges: [bins + 1], from the smallest number to the largest.
        sum, sum_squares: of the numbers and of their squares.
    """

    counts: np.ndarray
    edges: np.ndarray
    sum: float
    sum_squares: float


class Histograms(Callback):
    """Logs the distribution of each parameter that learns, and of the gradient that has moved it:
    `weights/G/<parameter>` and `gradients/G/<parameter>`, and those of D.

    A gradient is that of a player's last step in an update, as the optimizer takes it: clipped,
    averaged over all processes, without a loss scale. In the updates between, nothing is computed
    and no device is waited for.

    Args:
        every: updates of G from one set of histograms to the next.
        bins: of each histogram.
        loggers: names of those that the run has, "tensorboard+wandb".

    Raises:
        UserError: neither TensorBoard nor W&B is among them.
    """

    @checked
    def __init__(self, every: Count, bins: AtLeastTwo = 64, loggers: str = "tensorboard"):
        if not {"tensorboard", "wandb"} & set(loggers.split("+")):
            raise UserError(
                "callbacks=histograms draws in TensorBoard or W&B, and this run has neither: add logger=tensorboard or "
                "logger=wandb, or leave it out."
            )
        self.every, self.bins = every, bins
        self.gradients: dict[str, Histogram] = {}
        self.hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Looks at the gradients just before the steps from now on; a clip comes before."""
        if trainer.is_global_zero:
            for player, optimizer in zip("DG", trainer.optimizers, strict=True):
                look = self.before_step(player, getattr(pl_module, player), trainer)
                self.hooks.append(optimizer.register_step_pre_hook(look))

    def before_step(self, player: str, network: nn.Module, trainer: Trainer) -> Callable[..., None]:
        """A hook that keeps the histograms of a player's gradient, in the updates that have
        any."""

        def look(optimizer: Optimizer, *_: Any) -> None:
            if (trainer.global_step + 1) % self.every == 0:
                # where a fused step takes the loss scale out itself, it is still in the gradient
                scale = float(getattr(optimizer, "grad_scale", None) or 1)
                found = {name: p.grad / scale for name, p in network.named_parameters() if p.grad is not None}
                self.gradients |= self.histograms(f"gradients/{player}", found)

        return look

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Adds the weights that the update has made, and logs all."""
        if trainer.is_global_zero and trainer.global_step % self.every == 0:
            found, self.gradients = self.gradients, {}
            for player in "DG":
                weights = {name: p for name, p in getattr(pl_module, player).named_parameters() if p.requires_grad}
                found |= self.histograms(f"weights/{player}", weights)
            for logger in trainer.loggers:
                log_histograms(logger, found, trainer.global_step)

    def histograms(self, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Histogram]:
        """The histograms of named tensors; of none that has no finite value."""
        found = {f"{prefix}/{name}": histogram(tensor, self.bins) for name, tensor in tensors.items()}
        return {name: each for name, each in found.items() if each is not None}

    def teardown(self, trainer: Trainer, pl_module: GAN, stage: str) -> None:
        """Looks no more."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []


def histogram(tensor: Tensor, bins: int) -> Histogram | None:
    """The histogram of the finite values of a tensor of any shape; None if it has none."""
    values = in_float64(tensor.detach()).cpu().numpy().ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values, bins)
    return Histogram(counts, edges, values.sum(), np.square(values).sum())


def log_histograms(logger: Logger, histograms: dict[str, Histogram], update: int) -> None:
    """Shows histograms in a logger that takes them; other loggers get nothing."""
    if isinstance(logger, WandbLogger):
        import wandb

        bars = {name: wandb.Histogram(np_histogram=(each.counts, each.edges)) for name, each in histograms.items()}
        logger.log_metrics(bars, update)
    elif isinstance(logger, TensorBoardLogger):
        for name, each in histograms.items():
            low, high, sums = each.edges[0], each.edges[-1], (each.sum, each.sum_squares)
            bars = each.edges[1:].tolist(), each.counts.tolist()
            logger.experiment.add_histogram_raw(name, low, high, each.counts.sum(), *sums, *bars, update)
