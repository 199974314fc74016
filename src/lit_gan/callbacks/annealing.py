"""Numbers of a training that fall or rise along half a cosine."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, Trainer
from torch import nn

from lit_gan.errors import UserError
from lit_gan.module import GAN
from lit_gan.ranges import Allowed, Count, checked, require
from lit_gan.reg.adaptive import Adaptive, Start

Ends = Sequence[float]
"""The value at the start and the one at the end."""


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
        UserError: ends that are not two numbers, or no probabilities where they should be.
    """

    @checked("callbacks.annealing")
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
            if ends is not None and len(ends) != 2:
                raise UserError(f"callbacks.annealing.{name}={list(ends)} must be two numbers, the first and the last.")
        for name, ends in self.probabilities.items():
            for end in ends:
                require(f"callbacks.annealing.probabilities.{name}", end, Allowed.by(Start))

    def on_fit_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Refuses what the game has not.

        Raises:
            UserError: names the setting.
        """
        self.check_regularizers(pl_module.regs)
        if self.half_life is not None and pl_module.G_ema is None:
            raise UserError(
                "callbacks.annealing.half_life is of a moving average: set ema=0.999, say, or leave it out."
            )
        if self.rate is not None and trainer.lr_scheduler_configs:
            raise UserError(
                "callbacks.annealing.rate and optim.decay_start both move the rates: leave one of them out."
            )

    def check_regularizers(self, regs: Mapping[str, nn.Module]) -> None:
        """Refuses weights and probabilities that the game has not, or that move by themselves.

        Raises:
            UserError: names the setting.
        """
        if missing := [name for name in self.weights if name not in regs]:
            raise UserError(
                f"callbacks.annealing.weights.{missing[0]} is of no regularizer of this run: put it into reg=[...], or "
                f"leave it out."
            )
        fixed = [name for name, reg in regs.items() if isinstance(reg, Adaptive) and reg.target is None]
        if others := [name for name in self.probabilities if name not in fixed]:
            raise UserError(
                f"callbacks.annealing.probabilities.{others[0]} is of no augmentation of this run whose probability "
                f"nothing else moves: put ada or apa into reg=[...] and set its target to null, or leave it out."
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
            pl_module.regs[name].p.fill_(self.at(n, ends))
        if self.half_life is not None:
            half_life = self.at(n, self.half_life)
            pl_module.G_ema.decay = 0.5 ** (1 / half_life) if half_life > 0 else 0.0

    def at(self, update: int, ends: Ends) -> float:
        """A number after so many updates."""
        start, end = ends
        return end + (start - end) * (1 + math.cos(math.pi * min(update / self.updates, 1))) / 2
