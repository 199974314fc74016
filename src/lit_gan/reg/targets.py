"""Regularizers of what the players aim at: other targets for G, a past to stay near, a D that has
moved on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Regularizer, Scalar, Turn, in_float64
from lit_gan.layers import copied
from lit_gan.ranges import CountOrNone, Number, Whole, checked

Values = dict[str, Tensor]
Moments = Mapping[str, Any]
Group = Mapping[str, Any]
Rule = Callable[[Tensor, Tensor, Moments, Group], tuple[Tensor, Moments]]


class FeatureMatching(Regularizer):
    """||E f(x) - E f(G(z))||_2^2 for G, f what D's last layer sees. Salimans et al. 2016, section
    3.1.

    In the paper it replaces G's objective (loss.g_weight=0); beside it, it is added. The real samples
    are those of D's last turn. The authors' code for CIFAR-10 has the mean of |E f(x) - E f(G(z))|.
    Each of several processes has the means of its own samples.
    """

    def g(self, turn: Turn) -> Scalar:
        """The squared distance between the two batches' mean features."""
        return (turn.real.features.mean(0) - turn.fake.features.mean(0)).square().sum()


class FeatureMatchingL1(Regularizer):
    """The mean over D's features of |E f(x) - E f(G(z))| for G. Kavalerov et al. 2019 (arXiv
    1912.04216v1), where it stands beside 0.05 of their G's loss.

    The real samples are those of D's last turn; StudioGAN draws others. Each of several processes
    has the means of its own samples.
    """

    def g(self, turn: Turn) -> Scalar:
        """The mean distance between the two batches' mean features."""
        return (turn.real.features.mean(0) - turn.fake.features.mean(0)).abs().mean()


class HistoricalAveraging(Regularizer):
    """||theta - (1/t) sum_i theta[i]||^2 for either player. Salimans et al. 2016, section 3.3.

    theta[i] are the parameters at the start and after each of the player's updates so far; their
    mean is kept online.

    Args:
        weight: the coefficient. The paper does not state it.
    """

    @checked
    def __init__(self, weight: Number = 1.0, every: CountOrNone = None):
        super().__init__(weight, every)
        self.names: dict[str, list[str]] = {}
        self.begun: set[str] = set()

    def check(self, G: Generator, D: Discriminator) -> None:
        """The history begins with the parameters at the start, as all regularizers have left
        them."""
        for player, network in (("d", D), ("g", G)):
            self.names[player] = [name for name, value in network.named_parameters() if value.requires_grad]
            self.register_buffer(f"{player}_mean", self.parameters_of(player, network).detach().clone())
            self.register_buffer(f"{player}_count", torch.ones((), dtype=torch.long))

    def stage(self, turn: Turn) -> None:
        """Begins the history of a player that has none: a run that begins with the networks of
        another one (`init`) gets them after `check`."""
        if turn.player not in self.begun:
            self.begun.add(turn.player)
            network = turn.D if turn.player == "d" else turn.G
            mean, count = getattr(self, f"{turn.player}_mean"), getattr(self, f"{turn.player}_count")
            mean.copy_(torch.where(count == 1, self.parameters_of(turn.player, network).detach(), mean))

    def parameters_of(self, player: str, network: nn.Module) -> Float[Tensor, " n"]:
        """What the player learns, as one vector."""
        return torch.cat([attrgetter(name)(network).flatten() for name in self.names[player]])

    def d(self, turn: Turn) -> Scalar:
        """D's distance from its mean."""
        return (self.parameters_of("d", turn.D) - self.d_mean).square().sum()

    def g(self, turn: Turn) -> Scalar:
        """G's distance from its mean."""
        return (self.parameters_of("g", turn.G) - self.g_mean).square().sum()

    def project(self, turn: Turn) -> None:
        """The player's new parameters become part of its history."""
        network = turn.D if turn.player == "d" else turn.G
        mean, count = getattr(self, f"{turn.player}_mean"), getattr(self, f"{turn.player}_count")
        count += 1
        mean.lerp_(self.parameters_of(turn.player, network), (1 / count).to(mean))


class Unrolled(Regularizer):
    """G answers the D that is `steps` updates ahead, and differentiates through those. Metz et al.
    2017, Eqs. 7-10.

    The updates are those of D's optimizer, SGD or Adam, with its present rates and moments, on D's
    whole objective, all on the samples of G's turn; D itself does not move, nor does what the loss
    and the regularizers keep from turn to turn. It belongs behind what changes D's input, in `reg`.

    In a zero-sum game (loss=minimax, loss=wasserstein) G minimises all of f_K: a D that has
    answered G's samples judges the real ones accordingly, so that this term, too, has a gradient
    for G. Other losses keep their own objective of G.

    Each of several processes answers the D that is ahead on its own samples.

    Args:
        steps: K; 5 and 10 in the paper, 0 for none.

    Raises:
        UserError: steps that are no whole number from 0 on.
    """

    @checked
    def __init__(self, steps: Whole = 5):
        super().__init__()
        self.steps = steps

    def check_others(self, regs: Mapping[str, Regularizer]) -> None:
        """Holds that D's updates are steps of its optimizer and nothing else.

        Raises:
            UserError: a regularizer moves D's weights between them.
        """
        movers = [name for name, reg in regs.items() if reg.moves_d]
        if movers and self.steps:
            raise UserError(
                f"reg=unrolled differentiates through the steps of D's optimizer, but not through what "
                f"reg={movers[0]} does to D's weights between them: leave one of the two out."
            )

    def stage(self, turn: Turn) -> None:
        """Replaces G's opponent."""
        if turn.player == "g" and self.steps:
            turn.D = self.ahead(turn)
            turn.forget("real", "fake")

    def g(self, turn: Turn) -> Scalar | None:
        """What a zero-sum loss leaves out of G's objective: minus D's term on the real samples."""
        loss = turn.game.loss
        if not (self.steps and loss.zero_sum):
            return None
        with unmoved(loss):
            return -loss.g_weight * (loss.d(turn) + loss.g(turn))

    def ahead(self, turn: Turn) -> Discriminator:
        """A copy of D whose parameters are functions of G's samples."""
        optimizer, D = turn.game.optimizers()[0].optimizer, copied(turn.D)
        rule = rule_of(optimizer)
        settings = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
        learned = {name: value for name, value in turn.D.named_parameters() if value in settings}
        values = {name: value.detach().clone().requires_grad_() for name, value in learned.items()}
        moments = {name: optimizer.state.get(value, {}) for name, value in learned.items()}
        replace_parameters(D, values)
        with unmoved(turn.game.loss, turn.game.regs):
            for _ in range(self.steps):
                for name, gradient in objective_gradients(turn, D, values).items():
                    group = settings[learned[name]]
                    values[name], moments[name] = rule(values[name], gradient, moments[name], group)
                replace_parameters(D, values)
        return D


@contextmanager
def unmoved(*modules: nn.Module) -> Iterator[None]:
    """Puts the modules' buffers back to what they were before."""
    before = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in before:
            buffer.copy_(value)


def objective_gradients(turn: Turn, D: Discriminator, values: Values) -> Values:
    """Gradients of D's objective on the samples of G's turn, with a graph, where it has any."""
    inner = replace(turn, player="d", D=D)
    inner.x_fake = turn.x_fake  # with its graph, which a turn of D would not have made
    objective = sum(turn.game.terms(inner).values())
    found = torch.autograd.grad(objective, list(values.values()), create_graph=True, allow_unused=True)
    return {name: gradient for name, gradient in zip(values, found, strict=True) if gradient is not None}


def replace_parameters(network: nn.Module, values: Values) -> None:
    """Puts tensors where parameters have been, so that gradients pass through them."""
    for name, value in values.items():
        path, _, attribute = name.rpartition(".")
        owner = network.get_submodule(path)
        owner._parameters.pop(attribute, None)
        setattr(owner, attribute, value)


def sgd(value: Tensor, gradient: Tensor, moments: Moments, group: Group) -> tuple[Tensor, Moments]:
    """One step of torch.optim.SGD, and the moments after it, as functions of the gradient."""
    step = gradient + group["weight_decay"] * value
    if group["momentum"]:
        velocity = moments.get("momentum_buffer")
        velocity = step if velocity is None else group["momentum"] * velocity + (1 - group["dampening"]) * step
        moments = {"momentum_buffer": velocity}
        step = step + group["momentum"] * velocity if group["nesterov"] else velocity
    return value - group["lr"] * step, moments


def adam(value: Tensor, gradient: Tensor, moments: Moments, group: Group) -> tuple[Tensor, Moments]:
    """One step of torch.optim.Adam, and the moments after it, as functions of the gradient.

    Where the second moment is 0, as behind a ReLU that never opens, its root has gradient 0 instead
    of infinity.
    """
    beta1, beta2 = group["betas"]
    count = in_float64(torch.as_tensor(moments.get("step", 0))) + 1
    weight1, weight2 = ((1 - beta**count).to(value.dtype) for beta in (beta1, beta2))
    gradient = gradient + group["weight_decay"] * value
    mean = beta1 * moments.get("exp_avg", 0) + (1 - beta1) * gradient
    square = beta2 * moments.get("exp_avg_sq", 0) + (1 - beta2) * gradient.square()
    step = mean / weight1 / ((square / weight2).clamp(min=1e-30).sqrt() + group["eps"])
    return value - group["lr"] * step, {"step": count, "exp_avg": mean, "exp_avg_sq": square}


RULES: dict[type[Optimizer], Rule] = {SGD: sgd, Adam: adam}
VARIANTS = ("amsgrad", "maximize", "decoupled_weight_decay")


def rule_of(optimizer: Optimizer) -> Rule:
    """The step of an optimizer as a function.

    Raises:
        UserError: nobody has written it down, or something is done to the gradient before it.
    """
    if optimizer._optimizer_step_pre_hooks:
        raise UserError(
            "reg=unrolled differentiates through the steps of D's optimizer, but not through how optim.d_clip shortens "
            "its gradient before them: set optim.d_clip=null."
        )
    variants = [name for name in VARIANTS if any(group.get(name) for group in optimizer.param_groups)]
    if type(optimizer) not in RULES or variants:
        kind = type(optimizer).__name__ + (f" with {variants[0]}" if type(optimizer) in RULES else "")
        raise UserError(
            f"reg=unrolled differentiates through the steps of D's optimizer, which it knows for SGD and Adam but not "
            f"for {kind}: choose optim=adam, or optim.d._target_=torch.optim.SGD with its settings."
        )
    return RULES[type(optimizer)]
