"""The one LightningModule: a training step is a loop over turns, and a turn is a loop over terms."""

import copy
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_gan.curves import Curves, Diverged
from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Images, Labels, Loss, Move, Player, Regularizer, Turn
from lit_gan.optim import OptimisticAdam, Optimizers, realign, trainable
from lit_gan.order import Order, Simultaneous
from lit_gan.sampling import Sampler, n_classes_of

log = logging.getLogger("lit_gan")


class GAN(LightningModule):
    """A game of G and D. One training step is one generator update: n_dis turns of D, then one of G.

    Args:
        loss: what each player minimises.
        regs: name -> regularizer, attached in this order.
        optim: n_dis and the players' optimizers.
        order: when the players' updates take effect.
        g_batch_size: latent vectors in G's turn; null for as many as real images in one of D's turns.
        ema: decay of the moving average of G's weights and buffers; null for none.
        ema_start: generator update from which that decay holds; null for one that grows up to it (see `Average`).

    Raises:
        UserError: a start of a moving average that there is not.
    """

    def __init__(
        self,
        G: Generator,
        D: Discriminator,
        loss: Loss,
        regs: dict[str, Regularizer],
        optim: Optimizers,
        order: Order,
        g_batch_size: int | None = None,
        ema: float | None = None,
        ema_start: int | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.G, self.D, self.loss, self.regs = G, D, loss, nn.ModuleDict(regs)
        self.regs_of_G = [name for name, reg in regs.items() if changes(G, lambda reg=reg: reg.attach(G, D))]
        for term in (loss, *regs.values()):
            term.check(G, D)
        self.optim, self.order, self.g_batch_size = optim, order, g_batch_size
        self.n_classes = n_classes_of(self)
        if ema is None and ema_start is not None:
            raise UserError(f"ema_start={ema_start} starts no moving average: set ema=0.999, say, or ema_start=null.")
        self.G_ema = None if ema is None else Average(G, ema, ema_start)
        self.curves, self.flushed, self.probe = Curves(), 0, 1
        self.interval: dict[str, Any] | None = None

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Notes which regularizers G cannot be rebuilt without, as samples need no other; and curves not logged yet."""
        checkpoint["regs_of_G"] = self.regs_of_G
        checkpoint["curves"] = self.interval or {"flushed": self.flushed, "history": self.curves.state_dict()}

    def configure_optimizers(self):
        """D's optimizer, then G's."""
        return self.optim.build(self.G, self.D)

    def training_step(self, batch: tuple[Images, Labels], batch_idx: int) -> None:
        """One generator update on n_dis shares of real images."""
        self.order.play(self, self.moves(batch))
        self.follow()

    def moves(self, batch: tuple[Images, Labels]) -> Iterator[Move]:
        """n_dis moves of D, then G's on the last share of real images."""
        x, y = batch
        for share in zip(x.to(self.dtype).chunk(self.optim.n_dis), y.chunk(self.optim.n_dis), strict=True):
            yield self.move("d", *share)
        n = self.g_batch_size and self.g_batch_size // self.trainer.world_size
        yield self.move("g", *(repeated(part, n) for part in share))

    def move(self, player: Player, x: Images, y: Labels) -> Move:
        """One player's turns before its next update: one, or as many as `optim.accumulate` cuts a batch into."""
        parts = list(zip(x.chunk(self.optim.accumulate), y.chunk(self.optim.accumulate), strict=True))
        self.probe = len(parts[0][0])
        return [self.turn(player, *part) for part in parts]

    def turn(self, player: Player, x_real: Images, y: Labels) -> Turn:
        """A turn on these real samples, with latent vectors of its own and, where somebody looks at them, labels.

        Generated samples have labels drawn uniformly, as in the code of Miyato and Koyama 2018: other ones than the
        real samples of the turn, whatever the frequencies of the classes.
        """
        z, n = self.G.draw(len(y)), self.n_classes
        y_fake = y if n is None else torch.randint(n, y.shape, device=y.device)
        return Turn(player, self.G, self.D, x_real, y, z, self, y_fake)

    def differentiate(self, move: Move) -> None:
        """The player's gradient: the loss and every regularizer's term, averaged over its turns."""
        player = move[0].player
        self.optimizer(player).zero_grad()
        with frozen(self.D) if player == "g" else nullcontext():
            for turn in move:
                for reg in self.regs.values():
                    reg.stage(turn)
                terms = self.terms(turn)
                self.manual_backward(sum(terms.values()) / len(move))
                self.record(turn, terms)

    def update(self, move: Move) -> None:
        """The player's optimizer step, and what the regularizers make of the new weights."""
        optimizer = self.optimizer(move[0].player)
        optimizer.step() if move[0].player == "g" else self.uncounted_step(optimizer)
        with torch.no_grad():
            for reg in self.regs.values():
                reg.project(move[-1])

    def optimizer(self, player: Player):
        """A player's optimizer, in Lightning's wrapping."""
        return self.optimizers()["dg".index(player)]

    def terms(self, turn: Turn) -> dict[str, Tensor]:
        """What the player minimises, term by term; a regularizer's is multiplied by its weight."""
        terms = {self.loss.name: self.loss.objective(turn)}
        for name, reg in self.regs.items():
            value = getattr(reg, turn.player)(turn)
            if value is not None:
                terms[name] = reg.weight * value
        return terms

    def uncounted_step(self, optimizer) -> None:
        """Steps through the precision plugin but past Lightning's counter: `global_step` counts G's updates alone."""
        self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)

    def record(self, turn: Turn, terms: dict[str, Tensor]) -> None:
        """Notes each term and, in D's turn, its outputs on real and generated images."""
        for name, value in terms.items():
            self.curves.add(f"{turn.player}/{name}", value)
        if turn.player == "d":
            self.curves.add("d/real", turn.real.logits)
            self.curves.add("d/fake", turn.fake.logits)
            for name, value in self.loss.curves().items():
                self.curves.add(f"d/{name}", value)

    def follow(self) -> None:
        """What follows G's update: its moving average and the learning rates."""
        if self.G_ema is not None:
            self.G_ema.follow(self.G, self.global_step)
        for scheduler in self.schedulers():
            scheduler.step()

    def on_train_batch_end(self, outputs, batch, batch_idx: int) -> None:
        """Now and then the curves; those of the end of an epoch are logged after its checkpoint is written."""
        last = self.trainer.is_last_batch or self.global_step == self.trainer.max_steps
        if last:
            self.close_interval()
        elif self.log_is_due():
            self.close_curves()
            self.log_curves()

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's last curves, if no callback has done it."""
        self.log_curves()

    def close_interval(self) -> None:
        """Everything before a checkpoint: the curves since the last one, and whether the weights are sound.

        Raises:
            Diverged: they are not.
        """
        self.close_curves()
        self.check_sound()

    def schedulers(self) -> list:
        """The learning rates' schedulers, none if the rates are constant."""
        schedulers = self.lr_schedulers()
        return [] if schedulers is None else schedulers

    def close_curves(self) -> None:
        """Takes the mean of each curve since this was last done, for the loggers.

        Raises:
            Diverged: a loss is not finite.
        """
        if self.curves.history:
            self.curves.close(self.flushed + 1, self.global_step)
            self.flushed = self.global_step

    def log_curves(self) -> None:
        """Sends means that no logger has seen to the loggers, at the present generator update."""
        if self.curves.unlogged:
            for logger in self.loggers:
                logger.log_metrics(self.curves.unlogged, step=self.global_step)
        self.curves.unlogged = {}

    def prepare_stop(self) -> None:
        """Makes sure that a stop after this update may become a checkpoint, and leaves no trace in the curves.

        Raises:
            Diverged: a loss or D's verdict is not finite.
        """
        if self.log_is_due():
            self.close_curves()
        elif self.curves.history:
            self.curves.checked(self.flushed + 1, self.global_step)
        self.check_sound()

    def log_is_due(self) -> bool:
        """Whether this update ends an interval of the curves."""
        return self.global_step % self.trainer.log_every_n_steps == 0

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the curves not logged yet until training starts; earlier versions logged them at a stop."""
        self.flushed, self.interval = checkpoint["global_step"], checkpoint.get("curves")

    def check_sound(self) -> None:
        """Looks at what the last update has made of the weights, which no loss has seen yet.

        Raises:
            Diverged: D's verdict on new samples is not finite: these weights must not become a checkpoint.
        """
        samples = Sampler(self.G)
        D = copy.deepcopy(self.D).eval()
        with torch.no_grad():
            x, y = samples(self.probe).to(self.dtype), torch.zeros(self.probe, dtype=torch.long, device=self.device)
            logits = D(x, y).logits
        if not torch.isfinite(logits).all():
            raise Diverged("D's outputs", logits[~torch.isfinite(logits)][0].item(), self.global_step)

    def on_fit_start(self) -> None:
        """Refuses what cannot be trained, before anything is.

        Raises:
            UserError: as `check_loss_scale`.
        """
        check_loss_scale(self.trainer.precision, self.order, self.trainer.optimizers)

    def on_train_start(self) -> None:
        """Curves start where training does, or go on where it stopped."""
        self.flushed = self.global_step
        self.realign_rates()
        if self.interval is not None:
            self.flushed = self.interval["flushed"]
            self.curves.load_state_dict(self.interval["history"], self.device)
            self.interval = None

    def realign_rates(self) -> None:
        """Takes up the decay of the learning rates where the config has it now, and says so if it was elsewhere."""
        factors = [realign(scheduler) for scheduler in self.schedulers()]
        before, now = factors[0] if factors else (1, 1)
        if before != now and self.trainer.is_global_zero:
            log.warning(
                "optim.decay_end=%d is not where the decay ended before this resume: "
                "at update %d the learning rates go from %.3g to %.3g times their start",
                *(self.optim.decay_end, self.global_step, before, now),
            )

    def generator(self, ema: bool) -> Generator:
        """G with its moving average's weights where there is one and `ema` asks for it, else as it trains."""
        return self.G_ema.G if ema and self.G_ema is not None else self.G


def changes(network: nn.Module, act: Callable[[], None]) -> bool:
    """Whether an act changes of what layers a network is made, the shapes of its weights or what it hooks into them."""
    before = structure(network)
    act()
    return structure(network) != before


def structure(network: nn.Module) -> tuple:
    """What tells two networks apart beside the values of their weights."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    parts = [(type(part), sorted(vars(part)), len(part._forward_hooks)) for part in network.modules()]
    return str(network), shapes, parts, len(getattr(network, "latents", ()))


class Average(nn.Module):
    """A copy of G that follows its weights, and its batch-norm statistics, as an exponential moving average.

    Without a `start` the decay grows with the updates n as TensorFlow's does, (1 + n) / (10 + n) until it is `decay`,
    so that the first weights are soon forgotten: 0.999 is reached at update 8,990. With one the average is G itself
    before that update, and the decay is `decay` from there on, as in the code of BigGAN (start 20,000, decay 0.9999)
    and of StudioGAN. torch's own AveragedModel would make every update wait for the GPU, where it keeps its counter.
    """

    def __init__(self, G: Generator, decay: float, start: int | None = None):
        super().__init__()
        self.G, self.decay, self.start = copy.deepcopy(G).requires_grad_(False), decay, start

    def decay_at(self, update: int) -> float:
        """What the average keeps at the generator update of this number, the first being 1."""
        if self.start is None:
            return min(self.decay, (1 + update) / (10 + update))
        return self.decay if update >= self.start else 0.0

    def describe(self) -> dict[str, float | int | str]:
        """The decay and how it begins, for the records of scores."""
        begins = {"warm_up": "(1 + n) / (10 + n)"} if self.start is None else {"start": self.start}
        return {"decay": self.decay, **begins}

    @torch.no_grad()
    def follow(self, G: Generator, update: int) -> None:
        """average <- decay * average + (1 - decay) * G, after the update of this number, the first being 1."""
        decay = self.decay_at(update)
        pairs = list(zip(self.tensors(self.G), self.tensors(G), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_(*map(list, zip(*floating, strict=True)), 1 - decay)
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)

    @staticmethod
    def tensors(network: nn.Module) -> Iterator[Tensor]:
        """Parameters and buffers."""
        return itertools.chain(network.parameters(), network.buffers())


def check_loss_scale(precision: str, order: Order, optimizers: list[Optimizer]) -> None:
    """Refuses what a loss scale that changes between a gradient and its step, or a step left out, would falsify.

    Raises:
        UserError: half precision together with an order of play or an optimizer that cannot have it.
    """
    unfit = [order.__class__.__name__] if isinstance(order, Simultaneous) else []
    unfit += {each.__class__.__name__ for each in optimizers if isinstance(each, OptimisticAdam)}
    if precision == "16-mixed" and unfit:
        raise UserError(
            f"trainer.precision=16-mixed scales the loss anew between the players' steps, which {' and '.join(unfit)} "
            f"cannot have: set trainer.precision=bf16-mixed."
        )


def repeated(part: Tensor, n: int | None) -> Tensor:
    """The first n rows, from the beginning again where there are fewer; all of them if n is None."""
    return part if n is None else part[torch.arange(n, device=part.device) % len(part)]


@contextmanager
def frozen(network: nn.Module):
    """No gradients for a network's parameters: on G's turn D's would be computed only to be thrown away."""
    parameters = trainable(network)
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
