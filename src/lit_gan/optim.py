"""The players' optimizers: one setting of the literature is learning rates, betas and n_dis together."""

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_gan.errors import UserError


class Optimizers:
    """How the players learn.

    Args:
        n_dis: D's updates for each of G's.
        d, g: from parameters to an optimizer.
        decay_start: generator update from which both learning rates fall linearly; null for constant rates.
        decay_end: generator update at which they are 0.

    Raises:
        UserError: n_dis below 1, or a decay that ends before it starts.
    """

    def __init__(
        self,
        n_dis: int,
        d: Callable[[Iterable[nn.Parameter]], Optimizer],
        g: Callable[[Iterable[nn.Parameter]], Optimizer],
        decay_start: int | None = None,
        decay_end: int = 0,
    ):
        if n_dis < 1:
            raise UserError(f"optim.n_dis={n_dis} leaves D without updates: set it to 1 or more.")
        if decay_start is not None and not 0 <= decay_start < decay_end:
            raise UserError(
                f"optim.decay_start={decay_start} must lie between 0 and optim.decay_end={decay_end}, "
                f"in generator updates."
            )
        self.n_dis, self.d, self.g = n_dis, d, g
        self.decay_start, self.decay_end = decay_start, decay_end

    def build(self, G: nn.Module, D: nn.Module) -> tuple[list[Optimizer], list[LambdaLR]]:
        """D's and G's optimizer and, where the rates decay, a scheduler for each.

        Raises:
            UserError: an optimizer does not take its settings.
        """
        optimizers = [optimizer("d", self.d, D), optimizer("g", self.g, G)]
        decays = self.decay_start is not None
        return optimizers, [LambdaLR(optimizer, self.rate) for optimizer in optimizers if decays]

    def rate(self, update: int) -> float:
        """The factor on the learning rates at a generator update, from 1 down to 0."""
        remaining = (self.decay_end - update) / (self.decay_end - self.decay_start)
        return min(1.0, max(0.0, remaining))


def optimizer(player: str, make: Callable[[Iterable[nn.Parameter]], Optimizer], network: nn.Module) -> Optimizer:
    """One player's optimizer."""
    try:
        return make(trainable(network))
    except (TypeError, ValueError) as error:
        raise UserError(f"The settings optim.{player}.* cannot be used ({error}): correct the one named.") from error


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
