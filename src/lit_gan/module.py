"""The one LightningModule: a training step is a loop over turns, and a turn is a loop over
terms."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_gan.curves import Curves
from lit_gan.errors import UserError, is_own, note_own, path_of
from lit_gan.game import Discriminator, Game, Generator, Images, Labels, Loss, Move, Player, Regularizer, Term, Turn
from lit_gan.layers import changes, copied, fixed, n_classes_of, running_statistics
from lit_gan.optim import Optimizers
from lit_gan.order import Order
from lit_gan.own_code.slips import check_acts, check_returns
from lit_gan.own_code.unregistered import check_registered
from lit_gan.system.processes import average_over_processes


class GAN(LightningModule, Game):
    """A game of G and D. One training step is one generator update: n_dis turns of D, then one of
    G.

    In each turn the player minimises its loss and every regularizer's term. What follows an update
    is done by the callbacks that `lit_gan.callbacks.essential_callbacks` builds, for a Trainer of
    one's own as well.

    Args:
        loss: what each player minimises.
        regs: name -> regularizer, attached in this order.
        optim: n_dis and the players' optimizers.
        order: when the players' updates take effect.
        g_batch_size: latent vectors in G's turn; null for as many as real images in one of D's
            turns.
        ema: decay of the moving average of G's weights and buffers; null for none.
        ema_start: generator update from which that decay holds; null for one that grows up to it
            (see `Average`).
        channels_last: whether images and the weights of convolutions lie in memory with the
            channels of a pixel side by side, which most convolutions work on faster. Samples that
            are no images do not notice.
        compiles: whether both players are compiled while they train, see
            `lit_gan.compilation.compile_calls`.

    Raises:
        UserError: a start is given for a moving average that nobody asked for.
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
        channels_last: bool = False,
        compiles: bool = False,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.G, self.D, self.loss, self.regs = G, D, loss, nn.ModuleDict(regs)
        self.regs_of_G = [name for name, reg in regs.items() if attach(name, reg, G, D)]
        self.check_parts()
        self.optim, self.order, self.g_batch_size = optim, order, g_batch_size
        self.n_classes = n_classes_of(self)
        self.compiles = compiles
        if ema is None and ema_start is not None:
            raise UserError(f"ema_start={ema_start} starts no moving average: set ema=0.999, say, or ema_start=null.")
        self.G_ema = None if ema is None else Average(G, ema, ema_start)
        self.curves = Curves()
        self.layout = torch.channels_last if channels_last and len(G.shape) == 3 else torch.contiguous_format
        self.to(memory_format=self.layout)

    def check_parts(self) -> None:
        """Refuses what cannot work together, and what of one's own would be ignored.

        Raises:
            UserError: names the first such part.
        """
        for term in (self.loss, *self.regs.values()):
            term.check(self.G, self.D)
        for reg in self.regs.values():
            reg.check_others(dict(self.regs.items()))
        check_registered(self.G, self.D, self.loss, self.regs)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Notes which regularizers G cannot be rebuilt without: drawing samples needs no others."""
        checkpoint["regs_of_G"] = self.regs_of_G

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Lays the optimizers' memory out as the weights are: torch takes it up as it was saved,
        and its fused steps go through both in the order in which they lie in memory."""
        for optimizer in checkpoint["optimizer_states"]:
            for state in optimizer["state"].values():
                state |= {name: in_layout(value, self.layout) for name, value in state.items()}

    def configure_optimizers(self):
        """D's optimizer, then G's."""
        return self.optim.build(self.G, self.D)

    def training_step(self, batch: tuple[Images, Labels], batch_idx: int) -> None:
        """One generator update on n_dis shares of real images.

        Each of several processes normalises its part of a batch by itself, but all keep the same running
        statistics, the means of theirs.
        """
        self.order.play(self, self.moves(batch))
        average_over_processes(itertools.chain(running_statistics(self.G), running_statistics(self.D)))

    def moves(self, batch: tuple[Images, Labels]) -> Iterator[Move]:
        """n_dis moves of D, then G's on the last share of real images."""
        x, y = batch
        x = x.to(self.dtype, memory_format=self.layout)
        for share in cut_evenly(x, y, self.optim.n_dis):
            yield self.move("d", *share)
        n = self.g_batch_size and self.g_batch_size // self.trainer.world_size
        yield self.move("g", *(repeated(part, n) for part in share))

    def move(self, player: Player, x: Images, y: Labels) -> Move:
        """One player's turns before its next update: one, or as many as `optim.accumulate` cuts a
        batch into."""
        return [self.turn(player, *part) for part in cut_evenly(x, y, self.optim.accumulate)]

    def turn(self, player: Player, x_real: Images, y: Labels) -> Turn:
        """A turn on these real samples, with latent vectors of its own and, where somebody looks at
        them, labels.

        Generated samples have labels drawn uniformly, as in the code of Miyato and Koyama 2018:
        other ones than the real samples of the turn, whatever the frequencies of the classes.
        """
        z, n = self.G.draw(len(y)), self.n_classes
        y_fake = y if n is None else torch.randint(n, y.shape, device=y.device)
        return Turn(player, self.G, self.D, x_real, y, z, self, y_fake)

    def differentiate(self, move: Move) -> None:
        """The player's gradient: the loss and every regularizer's term, averaged over its turns."""
        player = move[0].player
        self.optimizer(player).zero_grad()
        with fixed(self.D) if player == "g" else fixed():
            for turn in move:
                for reg in self.regs.values():
                    check_stage(reg, reg.stage(turn))
                terms = self.terms(turn)
                self.add_gradient(self.objective(turn, terms) / len(move), terms)
                self.record(turn, terms)

    def add_gradient(self, value: Tensor, terms: dict[str, Tensor]) -> None:
        """Adds the gradient of a sum of terms; an error names the terms of one's own, of which torch's gradients have
        no line."""
        try:
            self.manual_backward(value)
        except Exception as error:
            note_own(error, "gradient", [self.term(name) for name in terms])
            raise

    def objective(self, turn: Turn, terms: dict[str, Tensor]) -> Tensor:
        """The sum of what a player minimises.

        Raises:
            UserError: a term does not depend on anything that the player learns.
        """
        value = sum(terms.values())
        if not value.requires_grad and turn.player == "g" and not turn.x_fake.requires_grad:
            raise UserError(
                f"G, a {path_of(turn.G)}, gives samples without a gradient, so that nothing in it learns: let its "
                f"forward work without detach, item, NumPy or torch.no_grad."
            )
        for name, term in terms.items():
            if not term.requires_grad and (not value.requires_grad or self.is_slip(name, term)):
                raise UserError(without_gradient(self.term(name), turn.player))
        return value

    def is_slip(self, name: str, term: Tensor) -> bool:
        """Whether a term without a gradient is likely to be a mistake: one of one's own, in the first
        update. A shipped one has none where none exists, as LOGAN's in a linear game."""
        return self.global_step == 0 and is_own(type(self.term(name))) and bool(term.abs() > 0)

    def term(self, name: str) -> Term:
        """The loss, or the regularizer of a name."""
        return self.loss if name == self.loss.name else self.regs[name]

    def update(self, move: Move) -> None:
        """The player's optimizer step, and what the regularizers make of the new weights."""
        optimizer = self.optimizer(move[0].player)
        optimizer.step() if move[0].player == "g" else self.uncounted_step(optimizer)
        with torch.no_grad():
            for reg in self.regs.values():
                reg.project(move[-1])

    def optimizer(self, player: Player):
        """A player's optimizer, in Lightning's wrapping."""
        d, g = self.optimizers()
        return d if player == "d" else g

    def terms(self, turn: Turn) -> dict[str, Tensor]:
        """What the player minimises, term by term, each multiplied by its weight.

        Raises:
            UserError: a regularizer with a term has the name of the loss.
        """
        terms = {self.loss.name: self.loss.objective(turn)}
        for name, reg in self.regs.items():
            value = reg.objective(turn)
            if value is not None and name in terms:
                raise UserError(
                    f"reg.{name} has the name of the loss, {path_of(self.loss)}, whose term it would replace: "
                    f"rename the key in its file, or the class of the loss."
                )
            if value is not None:
                terms[name] = value
        return terms

    def uncounted_step(self, optimizer) -> None:
        """Steps through the precision plugin but past Lightning's counter: `global_step` counts G's
        updates alone."""
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

    def generator(self, ema: bool) -> Generator:
        """G with its moving average's weights where there is one and `ema` asks for it, else as it
        trains."""
        return self.G_ema.G if ema and self.G_ema is not None else self.G


def attach(name: str, reg: Regularizer, G: Generator, D: Discriminator) -> bool:
    """Lets a regularizer, which gets its name, change the players; whether it has changed G.

    Raises:
        UserError: it is of one's own, and does nothing or in vain.
    """
    reg.name = name
    check_acts(reg, Regularizer, ("attach", "check", "check_others", "stage", "d", "g", "project"))
    check_returns(reg, ("d", "g") if reg.adds_term else ())
    return changes(G, lambda: check_attach(reg, reg.attach(G, D), G, D))


def check_stage(thing: Any, returned: Any) -> None:
    """Refuses samples that a stage returns, as it is to put them before D.

    Raises:
        UserError: names the class.
    """
    if isinstance(returned, Tensor | tuple):
        raise UserError(
            f"{path_of(thing)}.stage returns a {type(returned).__name__}, at which nobody looks: let it return nothing "
            f"and put samples before D by turn.show(x_real=..., x_fake=...)."
        )


def check_attach(thing: Any, returned: Any, *players: nn.Module) -> None:
    """Refuses a network that `attach` returns in place of those that it is to change.

    Raises:
        UserError: names the class.
    """
    given = returned if isinstance(returned, tuple) else (returned,)
    if any(isinstance(each, nn.Module) and all(each is not player for player in players) for each in given):
        raise UserError(
            f"{path_of(thing)}.attach returns another network than G and D, at which nobody looks: change these "
            f"themselves, as in D.body = ..."
        )


def without_gradient(term: Term, player: Player) -> str:
    """The sentence about a term that moves nothing."""
    outputs = "turn.fake" if player == "g" else "turn.real or turn.fake"
    return (
        f"{path_of(term)}.{player} returns a number without a gradient, so that it moves nothing: compute it from "
        f"{outputs} as it is, without detach, item, counts or torch.no_grad; turn.game.curves.add logs a number."
    )


def in_layout(value: Any, layout: torch.memory_format) -> Any:
    """A tensor of four axes in this order in memory; anything else as it is."""
    images = isinstance(value, Tensor) and value.dim() == 4
    return value.contiguous(memory_format=layout) if images else value


class Average(nn.Module):
    """A copy of G that follows its weights, and its batch-norm statistics, as an exponential moving
    average.

    Without a `start` the decay grows with the updates n as TensorFlow's does, (1 + n) / (10 + n)
    until it is `decay`, so that the first weights are soon forgotten: 0.999 is reached at update
    8,990. With one the average is G itself before that update, and the decay is `decay` from there
    on, as in the code of BigGAN (start 20,000, decay 0.9999) and of StudioGAN. torch's own
    AveragedModel would make every update wait for the GPU, where it keeps its counter.
    """

    def __init__(self, G: Generator, decay: float, start: int | None = None):
        super().__init__()
        self.G, self.decay, self.start = copied(G).requires_grad_(False), decay, start
        self.annealed: dict[str, Any] | None = None
        """What the records say in place of the decay where a callback moves it."""

    def decay_at(self, update: int) -> float:
        """What the average keeps at the generator update of this number, the first being 1."""
        if self.start is None:
            return min(self.decay, (1 + update) / (10 + update))
        return self.decay if update >= self.start else 0.0

    def describe(self) -> dict[str, Any]:
        """The decay and how it begins, for the records of scores."""
        begins = {"warm_up": "(1 + n) / (10 + n)"} if self.start is None else {"start": self.start}
        return {**(self.annealed or {"decay": self.decay}), **begins}

    @torch.no_grad()
    def update_from(self, G: Generator, update: int) -> None:
        """average <- decay * average + (1 - decay) * G, after the update of this number, the first
        being 1."""
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


def cut_evenly(x: Tensor, y: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """n parts of a batch and of its labels, one after the other.

    Raises:
        UserError: they would not be equal; with a `Trainer` of one's own nothing else has looked.
    """
    if len(x) % n:
        raise UserError(
            f"{len(x)} real samples on a device cannot be cut into {n} equal parts: have the data give n_dis x batch "
            f"size of them in an update, with a batch size that is a multiple of devices x accumulate."
        )
    return zip(x.chunk(n), y.chunk(n), strict=True)


def repeated(part: Tensor, n: int | None) -> Tensor:
    """The first n rows, from the beginning again where there are fewer; all of them if n is
    None."""
    return part if n is None else part[torch.arange(n, device=part.device) % len(part)]
