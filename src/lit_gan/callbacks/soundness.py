"""Whether a training can go well, and whether a checkpoint would be worth resuming from."""

import logging
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import nn
from torch.optim import Optimizer

from lit_gan.callbacks.random_state import RandomState
from lit_gan.curves import Diverged
from lit_gan.errors import UserError, first_few, path_of
from lit_gan.layers import copied
from lit_gan.module import GAN
from lit_gan.order import Order
from lit_gan.own_code.unregistered import State, changed, plain_state, untrained
from lit_gan.sampling import Sampler

log = logging.getLogger("lit_gan")


class Soundness(Callback):
    """Refuses a training whose updates would be wrong, and ends one before broken weights become a
    checkpoint.

    No loss has seen yet what the last update has made of the weights. Comes between `CurvesLog` and
    `Checkpoints`.
    """

    def __init__(self):
        self.batch_size = 1
        """Samples in one of D's turns: a D that packs samples takes no smaller number."""
        self.updates = 0
        """Updates of G before the present one."""
        self.state: State | None = None
        """What modules of one's own keep that is no buffer, before the first update; None after it."""

    def on_fit_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Refuses what this trainer cannot train.

        Raises:
            UserError: as `check_loss_scale` and `check_processes`.
        """
        check_processes(trainer)
        check_loss_scale(trainer.precision, pl_module.order, trainer.optimizers)
        self.state = plain_state(*parts_of(pl_module))
        terms = nn.ModuleDict({"loss": pl_module.loss, "reg": pl_module.regs})
        warn_of(untrained(terms, trainer.optimizers), IDLE)

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, batch: Any, batch_idx: int) -> None:
        """Notes how many samples D is shown at once, and how often G has been updated."""
        self.updates = trainer.global_step
        self.batch_size = len(batch[0]) // (pl_module.optim.n_dis * pl_module.optim.accumulate)

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Looks at the weights after the last update of an epoch.

        Raises:
            Diverged: as `check`.
            UserError: the order of play has not updated G, or more than once.
        """
        if (made := trainer.global_step - self.updates) != 1:
            raise UserError(
                f"{path_of(pl_module.order)}.play has made {made} updates of G in one training step, but it must make "
                f"one: let it call game.differentiate(move) and game.update(move) for each of its moves."
            )
        if trainer.is_last_batch or trainer.global_step == trainer.max_steps:
            self.check(pl_module)
        if self.state is not None:
            warn_of(changed(self.state, plain_state(*parts_of(pl_module))), LOST)
            self.state = None

    @torch.no_grad()
    def check(self, gan: GAN) -> None:
        """Shows new samples to copies of the players, which stay as they are.

        Raises:
            Diverged: D's verdict on them is not finite.
        """
        x = Sampler(gan.G)(self.batch_size).to(gan.dtype)
        y = torch.zeros(self.batch_size, dtype=torch.long, device=gan.device)
        logits = copied(gan.D).eval()(x, y).logits
        if not torch.isfinite(logits).all():
            raise Diverged("D's outputs", logits[~torch.isfinite(logits)][0].item(), gan.global_step)


def parts_of(gan: GAN) -> tuple[nn.Module, ...]:
    """What plays in a game, without the averages and curves that are made of it."""
    return gan.G, gan.D, gan.loss, gan.regs


@rank_zero_only
def warn_of(names: list[str], what: str) -> None:
    """Says in one line what is the matter with parts of these names; nothing without any."""
    if names:
        log.warning(f"{first_few(names)}: {what}.")


IDLE = (
    "no player's optimizer has these parameters, so that they stay as they are if nothing else moves them; D's has "
    "what `attach` puts into D.heads, and requires_grad_(False) says that they stay"
)
LOST = (
    "changed by the first update, but no buffer, so that a resume begins it anew; where that matters, make it one by "
    "register_buffer"
)


def check_processes(trainer: Trainer) -> None:
    """Refuses what several processes cannot play together.

    Raises:
        UserError: the strategy does not bear that each turn leaves a player out, or nothing has each
            process draw numbers of its own.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise UserError(
            "strategy=ddp stops at parameters without a gradient, and each turn of the game leaves the other player's "
            "without one: set it to ddp_find_unused_parameters_true."
        )
    if trainer.world_size > 1 and not any(isinstance(each, RandomState) for each in trainer.callbacks):
        raise UserError(
            f"the {trainer.world_size} processes of this Trainer would draw the same latent vectors: add "
            f"lit_gan.callbacks.RandomState(seed) to its callbacks."
        )


def check_loss_scale(precision: str, order: Order, optimizers: list[Optimizer]) -> None:
    """Refuses what a loss scale that changes between a gradient and its step, or a step left out,
    would falsify.

    Raises:
        UserError: half precision together with an order of play or an optimizer that cannot have
            it.
    """
    unfit = [order.__class__.__name__] if order.holds_gradients else []
    unfit += {each.__class__.__name__ for each in optimizers if getattr(each, "needs_every_step", False)}
    if precision == "16-mixed" and unfit:
        raise UserError(
            f"trainer.precision=16-mixed scales the loss anew between the players' steps, which {' and '.join(unfit)} "
            f"cannot have: set trainer.precision=bf16-mixed."
        )
