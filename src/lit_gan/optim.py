"""The players' optimizers: one setting of the literature is learning rates, betas and n_dis
together."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_gan.errors import UserError, not_written, path_of
from lit_gan.layers import trainable
from lit_gan.ranges import Count, NonNegative, Range, Switch, checked

Length = Annotated[float | None, Range(above=0)]


class Optimizers:
    """How the players learn.

    Args:
        n_dis: D's updates for each of G's.
        d, g: from parameters to an optimizer.
        decay_start: generator update from which both learning rates fall linearly; null for
            constant rates.
        decay_end: generator update at which they are 0.
        d_clip, g_clip: longest gradient of a player's update, over all of its parameters; null for
            any length.
        accumulate: turns whose gradients make one update; each sees this part of a batch.

    Raises:
        UserError: n_dis or accumulate below 1, a clip that is not positive, or a decay that ends
            before it starts.
    """

    @checked
    def __init__(
        self,
        n_dis: Count,
        d: Callable[[Iterable[nn.Parameter]], Optimizer],
        g: Callable[[Iterable[nn.Parameter]], Optimizer],
        decay_start: Annotated[int | None, Range()] = None,
        decay_end: Count = 1,
        d_clip: Length = None,
        g_clip: Length = None,
        accumulate: Count = 1,
    ):
        if decay_start is not None and not 0 <= decay_start < decay_end:
            raise UserError(
                f"optim.decay_start={decay_start} must lie between 0 and optim.decay_end={decay_end}, "
                f"in generator updates."
            )
        self.n_dis, self.d, self.g = n_dis, d, g
        self.decay_start, self.decay_end = decay_start, decay_end
        self.d_clip, self.g_clip, self.accumulate = d_clip, g_clip, accumulate

    def build(self, G: nn.Module, D: nn.Module) -> tuple[list[Optimizer], list[LambdaLR]]:
        """D's and G's optimizer and, where the rates decay, a scheduler for each.

        Raises:
            UserError: an optimizer does not take its settings.
        """
        optimizers = [optimizer("d", self.d, D), optimizer("g", self.g, G)]
        for player, clip in zip(optimizers, (self.d_clip, self.g_clip), strict=True):
            if clip is not None:
                player.register_step_pre_hook(Clip(clip))
        decays = self.decay_start is not None
        return optimizers, [LambdaLR(optimizer, self.rate) for optimizer in optimizers if decays]

    def rate(self, update: int) -> float:
        """The factor on the learning rates at a generator update, from 1 down to 0."""
        remaining = (self.decay_end - update) / (self.decay_end - self.decay_start)
        return min(1.0, max(0.0, remaining))


def realign(scheduler: LambdaLR) -> tuple[float, float]:
    """Gives an optimizer the learning rates that its scheduler has at its present update.

    After a resume with another end of the decay they are others than those of the checkpoint.

    Returns:
        The factors on the learning rates, before and now.
    """
    now = scheduler.lr_lambdas[0](scheduler.last_epoch)
    base, group = scheduler.base_lrs[0], scheduler.optimizer.param_groups[0]
    before = group["lr"] / base if group["lr"] != base * now else now
    group["lr"] = base * now
    return before, now


class OptimisticAdam(Adam):
    """Adam whose step is twice the new one less the one before. Daskalakis et al. 2018, Algorithm
    1.

    What a player expects the other to do next is what it has just done: the game's cycles become
    spirals inwards.
    """

    needs_every_step = True
    """A step that is left out would be subtracted at the next one."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """w + 2 u_t - u_(t-1), where u_t is Adam's step and u_0 = 0."""
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = [parameter.clone() for parameter in parameters]
        loss = super().step(closure)
        steps = torch._foreach_sub(parameters, before)
        torch._foreach_add_(parameters, steps)
        for parameter, step in zip(parameters, steps, strict=True):
            parameter.sub_(self.state[parameter].get("previous_step", 0))
            self.state[parameter]["previous_step"] = step
        return loss


def lazy_adam(
    params: Iterable[nn.Parameter],
    lr: NonNegative,
    betas: tuple[float, float],
    every: Count,
    eps: NonNegative = 1e-8,
    fused: Switch | None = None,
) -> Adam:
    """Adam of rate c lr and of betas to the power c, c = every / (every + 1). Karras et al. 2020
    (StyleGAN2), appendix B.

    The authors' code adds a lazy penalty in a step of its own, after every so many steps of the
    loss: with c both together move as far, and remember as long, as the loss alone. Here a lazy
    penalty (`reg.r1.every=16`) is part of a step of the loss and needs no correction; this is for
    rows of papers whose numbers have it.

    Args:
        lr: the learning rate before the correction.
        betas: decay rates of the moving averages of the gradient and of its square, before it.
        every: updates from one lazy penalty of the player to the next.
        eps: added to the root of the average square.
        fused: torch's quicker implementation, with the same numbers up to rounding.
    """
    c = every / (every + 1)
    return Adam(params, lr=c * lr, betas=tuple(beta**c for beta in betas), eps=eps, fused=fused)


class TensorFlowRMSprop(Optimizer):
    """RMSProp as TensorFlow 1 computes it: m <- alpha m + (1 - alpha) g^2 from m = 1, w <- w - lr g
    / sqrt(m + eps).

    torch's RMSprop starts from m = 0, where its first steps are 1 / sqrt(1 - alpha) times as long,
    and adds eps to the root. The defaults are those of `tf.train.RMSPropOptimizer`.

    Args:
        lr: the learning rate.
        alpha: what the mean square m keeps at each step.
        eps: added to the mean square, inside the root.

    Raises:
        ValueError: a learning rate or an eps below 0, or an alpha outside [0, 1).
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, alpha: float = 0.9, eps: float = 1e-10):
        if not (lr >= 0 and eps >= 0 and 0 <= alpha < 1):
            raise ValueError(f"lr={lr} and eps={eps} must be 0 or more, alpha={alpha} at least 0 and below 1")
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Every parameter that has a gradient, after `closure`, whose value is returned, has
        computed it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self.move(parameters, group)
        return loss

    def move(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """One step of parameters with the same settings."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["square_avg"] = torch.ones_like(parameter)
        squares = [self.state[parameter]["square_avg"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        roots = torch._foreach_sqrt(torch._foreach_add(squares, group["eps"]))
        torch._foreach_addcdiv_(parameters, gradients, roots, value=-group["lr"])


class Clip:
    """Shortens an optimizer's gradient to a length just before its step.

    Where a fused step takes the loss scale out itself, the gradient is still scaled, and so is the
    length.
    """

    def __init__(self, length: float):
        self.length = length

    def __call__(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """All parameters together. Pascanu et al. 2013, Algorithm 1."""
        length = self.length * getattr(optimizer, "grad_scale", 1)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], length)


def optimizer(player: str, make: Callable[[Iterable[nn.Parameter]], Optimizer], network: nn.Module) -> Optimizer:
    """One player's optimizer; torch wants numbers with a point for betas, and nobody types 0.0.

    Raises:
        UserError: it does not take its settings, or is none, or the network has nothing that learns.
    """
    if not (parameters := trainable(network)):
        raise UserError(f"model.{player.upper()} has no parameters that learn: give {path_of(network)} some layers.")
    try:
        if betas := getattr(make, "keywords", {}).get("betas"):
            make = partial(make, betas=tuple(map(float, betas)))
        made = make(parameters)
    except (TypeError, ValueError) as error:
        raise UserError(f"The settings optim.{player}.* cannot be used ({error}): correct the one named.") from error
    if not isinstance(made, Optimizer):
        raise UserError(
            f"optim.{player}._target_ makes a {path_of(made)}, which is no optimizer: let its class inherit from "
            f"torch.optim.Optimizer."
        )
    if inspect.unwrap(type(made).step) is inspect.unwrap(Optimizer.step):
        raise not_written(made, "step(closure=None)")
    return made
