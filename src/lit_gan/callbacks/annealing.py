"""Numbers of a training that fall or rise along half a cosine."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_gan.errors import UserError, written
from lit_gan.game import Regularizer
from lit_gan.module import GAN
from lit_gan.ranges import Allowed, Count, NonNegative, Number, Probability, UnitInterval, checked, require

log = logging.getLogger("lit_gan")

Ends = Sequence[float]
"""The value at the start and the one at the end."""

ALLOWED = {
    "rate": NonNegative,
    "beta2": Probability,
    "half_life": NonNegative,
    "weights": Number,
    "probabilities": UnitInterval,
}
"""What each end may be."""


class Annealing(Callback):
    """Moves numbers from one value to another along half a cosine, and leaves them there. Huang et
    al. 2024 (R3GAN), as in the authors' code.

    After n updates of G a number is end + (start - end) (1 + cos(pi min(n / updates, 1))) / 2. What
    is not named stays as it is set elsewhere. A resumed run goes on where it was.

    Args:
        updates: of G, over which they move.
        rate: the learning rate of both players; null for none.
        beta2: of both players' Adam; null for none.
        half_life: of G's moving average, in updates: the decay is 0.5^(1 / half_life), or 0; null
            for none.
        weights: those of regularizers by their names: {r1: [0.05, 0.005]}; null for none.
        probabilities: those of ADA or APA: {ada: [0, 0.55]}; null for none.

    Raises:
        UserError: ends that are not two numbers, or not such as they should be.
    """

    @checked
    def __init__(
        self,
        updates: Count,
        rate: Ends | None = None,
        beta2: Ends | None = None,
        half_life: Ends | None = None,
        weights: Mapping[str, Ends] | None = None,
        probabilities: Mapping[str, Ends] | None = None,
    ):
        self.updates, self.rate, self.beta2, self.half_life = updates, rate, beta2, half_life
        self.weights, self.probabilities = dict(weights or {}), dict(probabilities or {})
        named = {"rate": rate, "beta2": beta2, "half_life": half_life}
        named |= {f"weights.{name}": ends for name, ends in self.weights.items()}
        named |= {f"probabilities.{name}": ends for name, ends in self.probabilities.items()}
        for name, ends in named.items():
            if ends is not None:
                check_ends(f"callbacks.annealing.{name}", ends, Allowed.by(ALLOWED[name.partition(".")[0]]))
        self.ended = updates
        """The update at which they come to rest, as the checkpoint says that training goes on from."""

    def on_fit_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Refuses what the game has not.

        Raises:
            UserError: names the setting.
        """
        self.check_regularizers(pl_module.regs)
        if self.half_life is not None and pl_module.G_ema is None:
            raise UserError(
                f"callbacks.annealing.half_life={written(self.half_life)} needs a moving average: set ema=0.999, say, "
                f"or leave it out."
            )
        if self.rate is not None and trainer.lr_scheduler_configs:
            raise UserError(
                f"callbacks.annealing.rate={written(self.rate)} and optim.decay_start both move the rates: leave one "
                f"of them out."
            )

        without = [each for each in trainer.optimizers if any("betas" not in group for group in each.param_groups)]
        if self.beta2 is not None and without:
            raise UserError(
                f"callbacks.annealing.beta2={written(self.beta2)} needs Adam, and {type(without[0]).__name__} has no "
                f"such number: choose optim=adam, say, or leave it out."
            )

    def check_regularizers(self, regs: Mapping[str, Regularizer]) -> None:
        """Refuses weights and probabilities that the game has not, or that move by themselves.

        Raises:
            UserError: names the setting.
        """
        if missing := [name for name in self.weights if name not in regs]:
            raise UserError(
                f"callbacks.annealing.weights.{missing[0]}={written(self.weights[missing[0]])} names no regularizer of "
                f"this run: put it into reg=[...], or leave it out."
            )
        if idle := [name for name in self.weights if not has_term(regs[name])]:
            raise UserError(
                f"callbacks.annealing.weights.{idle[0]}={written(self.weights[idle[0]])} names a regularizer that adds "
                f"no term to what a player minimises, so that its weight changes nothing: leave it out; "
                f"callbacks.annealing.probabilities moves those of ada and apa."
            )
        fixed = [name for name, reg in regs.items() if reg.movable_probability is not None]
        if others := [name for name in self.probabilities if name not in fixed]:
            raise UserError(
                f"callbacks.annealing.probabilities.{others[0]}={written(self.probabilities[others[0]])} names no "
                f"augmentation of this run whose probability nothing else moves: put ada or apa into reg=[...] and set "
                f"its target to null, or leave it out."
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: GAN, checkpoint: dict[str, Any]) -> None:
        """Notes where the numbers come to rest."""
        # not as the callback's state, of which Lightning would warn in a branch without annealing
        checkpoint["annealing"] = {"updates": self.updates}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: GAN, checkpoint: dict[str, Any]) -> None:
        """Takes up what `on_save_checkpoint` has noted; earlier versions did not."""
        self.ended = checkpoint.get("annealing", {}).get("updates", self.updates)

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Warns if the numbers jump, because they come to rest elsewhere than before a resume."""
        n = trainer.global_step
        before, now = (1 - remaining(n, updates) for updates in (self.ended, self.updates))
        if before != now and trainer.is_global_zero:
            log.warning(
                "callbacks.annealing.updates=%d is not where the annealing ended before this resume: "
                "at update %d its numbers go from %.3g to %.3g of their way",
                *(self.updates, n, before, now),
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Sets the numbers for the update to come."""
        n = trainer.global_step
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            if self.rate is not None:
                group["lr"] = self.at(n, self.rate)
            if self.beta2 is not None:
                group["betas"] = (group["betas"][0], self.at(n, self.beta2))
        for name, ends in self.weights.items():
            pl_module.regs[name].weight = self.at(n, ends)
        for name, ends in self.probabilities.items():
            pl_module.regs[name].movable_probability.fill_(self.at(n, ends))
        if self.half_life is not None:
            half_life = self.at(n, self.half_life)
            pl_module.G_ema.decay = 0.5 ** (1 / half_life) if half_life > 0 else 0.0

    def at(self, update: int, ends: Ends) -> float:
        """A number after so many updates."""
        start, end = ends
        return end + (start - end) * remaining(update, self.updates)


def check_ends(name: str, ends: Any, allowed: Allowed) -> None:
    """Refuses what is no first and last number of a kind.

    Raises:
        UserError: names the setting.
    """
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise UserError(f"{name}={written(ends)} must be two numbers, the first and the last.")
    for end in ends:
        require(name, end, allowed)


def remaining(update: int, updates: int) -> float:
    """What is left of the way of an annealed number after so many of its updates, from 1 down to
    0."""
    return (1 + math.cos(math.pi * min(update / updates, 1))) / 2


def has_term(reg: Regularizer) -> bool:
    """Whether a regularizer adds a term to what either player minimises."""
    kind = type(reg)
    return reg.adds_term and (kind.d is not Regularizer.d or kind.g is not Regularizer.g)
