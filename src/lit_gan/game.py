"""The vocabulary: a GAN is a game of two turns, a turn is a lazy value, a loss and every trick are
small objects.

Every network pair, loss and regularizer is written in these words and in nothing else.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lit_gan.errors import UserError, not_written, note_own, path_of
from lit_gan.ranges import CountOrNone, Number, checked

Player = Literal["d", "g"]
Images = Float[Tensor, "b *shape"]
"""Samples of any kind."""
Pictures = Float[Tensor, "b c h w"]
"""Images that are no points and no text."""
Labels = Int[Tensor, " b"]
Latents = Float[Tensor, "b z"]
Scalar = Float[Tensor, ""]


class Verdict(NamedTuple):
    """What every discriminator returns about a batch."""

    logits: Float[Tensor, " b"]
    """Higher means more real. No sigmoid: the losses apply what they need."""
    features: Float[Tensor, "b f"]
    """What the last layer saw."""


class Labelled(nn.Module):
    """A layer that looks at labels: its forward takes (x, y)."""


class Layers(nn.Sequential, Labelled):
    """Layers one after the other; those that look at labels are shown them."""

    divisible = True
    """Whether a part of them may be run by itself."""

    def forward(self, x: Tensor, y: Labels | None = None) -> Tensor:
        """The last layer's output."""
        for layer in self:
            x = apply_layer(layer, x, y)
        return x


def apply_layer(layer: nn.Module, x: Tensor, y: Labels | None) -> Tensor:
    """A layer's output, whether or not it looks at labels."""
    return layer(x, y) if isinstance(layer, Labelled) else layer(x)


@dataclass(frozen=True)
class LatentPart:
    """Latent variables that are drawn together, `size` of them.

    An export says by two attributes of the very class how they are drawn without lit_gan: `prior`,
    the name of their distribution, and `in_numpy`, NumPy's expression for n draws from it by a
    generator `rng`, with {size} in place of the size. They are not inherited, as a subclass may draw
    otherwise.
    """

    size: int

    def draw(self, n: int, device: torch.device, generator: torch.Generator | None) -> Latents:
        """n vectors, [n, size]."""
        raise not_written(self, "draw(n, device, generator)")


@dataclass(frozen=True)
class Normal(LatentPart):
    """`size` independent latent variables from N(0, 1).

    Args:
        limit: their largest absolute value; None for any.
    """

    limit: float | None = None
    prior = "normal"
    in_numpy = "rng.standard_normal((n, {size}))"

    def draw(self, n: int, device: torch.device, generator: torch.Generator | None) -> Latents:
        """n vectors, [n, size], of any numbers or of those within +-limit."""
        z = torch.randn(n, self.size, device=device, generator=generator)
        return z if self.limit is None else truncated(z, self.limit)


@dataclass(frozen=True)
class Uniform(LatentPart):
    """`size` independent latent variables from U(-1, 1)."""

    prior = "uniform"
    in_numpy = "rng.uniform(-1, 1, (n, {size}))"

    def draw(self, n: int, device: torch.device, generator: torch.Generator | None) -> Latents:
        """n vectors, [n, size], of numbers in [-1, 1)."""
        return torch.rand(n, self.size, device=device, generator=generator).mul_(2).sub_(1)


PRIORS = {part.prior: part for part in (Normal, Uniform)}


def truncated(z: Tensor, limit: float) -> Tensor:
    """N(0, 1) numbers moved, in their order, to where N(0, 1) numbers within +-limit lie. Brock et
    al. 2019 draw anew what lies beyond, which has the same distribution.

    So the samples of a seed change steadily with the limit.
    """
    below = 0.5 * math.erfc(limit / math.sqrt(2))
    share = torch.special.ndtr(in_float64(z))
    return torch.special.ndtri(below + (1 - 2 * below) * share).clamp(-limit, limit).to(z)


class Generator(nn.Module):
    """A network from latent vectors to samples: `body` maps [b, z_dim] to [b, *shape], images in
    [-1, 1].

    Args:
        shape: of a sample: (channels, height, width), (2,) for points, (characters, length) for
            text.
        z_dim: length of a latent vector.
        prior: what each of its numbers is drawn from: "normal", N(0, 1), or "uniform", U(-1, 1).

    Raises:
        UserError: a prior other than "normal" and "uniform".
    """

    body: Layers
    set_by_constructor = "latents"
    """What only the constructor sets, by which one sees that a subclass has called it."""

    def __init__(self, shape: Sequence[int], z_dim: int, prior: str = "normal"):
        super().__init__()
        if prior not in PRIORS:
            raise UserError(f"model.G.prior={prior} does not exist: choose {' or '.join(PRIORS)}.")
        self.shape = tuple(shape)
        self.latents: list[LatentPart] = [PRIORS[prior](z_dim)]

    @property
    def z_dim(self) -> int:
        """Length of a latent vector: all of its parts together."""
        return sum(part.size for part in self.latents)

    @property
    def truncatable(self) -> Literal["latent vectors", "styles"] | None:
        """What a truncation changes; None where there is nothing to truncate."""
        return "latent vectors" if any(isinstance(part, Normal) for part in self.latents) else None

    def truncate(self, limit: float) -> None:
        """From now on draws the normal ones of its latent variables within +-limit."""
        self.latents = [replace(part, limit=limit) if isinstance(part, Normal) else part for part in self.latents]

    def draw(self, n: int, generator: torch.Generator | None = None) -> Latents:
        """n latent vectors, from `generator` if given, on the parameters' device."""
        parameter = next(self.parameters())
        source = generator.device if generator is not None else parameter.device
        return torch.cat([part.draw(n, source, generator) for part in self.latents], 1).to(parameter)

    def own_and_appended(self, z: Latents) -> tuple[Float[Tensor, "b own"], Float[Tensor, "b codes"]]:
        """The network's own latent vector, and the codes that regularizers have appended to it."""
        return z.tensor_split([self.latents[0].size], 1)

    def forward(self, z: Latents, y: Labels | None = None) -> Images:
        """Samples; y is for networks that look at labels, which torch's own Sequential does not."""
        return apply_layer(self.body, z, y) if isinstance(self.body, nn.Sequential) else self.body(z, y)


class Discriminator(nn.Module):
    """A network that judges samples: `body` maps [b, *shape] to features, `head` maps those [b, f]
    to logits [b, 1].

    `heads` are whatever else looks at the features; D's optimizer trains them.
    """

    body: nn.Module
    head: nn.Module
    pack: int = 1
    """Samples behind one logit."""
    set_by_constructor = "heads"

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict()

    @property
    def n_features(self) -> int:
        """Length of a feature vector.

        Raises:
            UserError: the head is no single layer, so that it does not say how many it reads.
        """
        if not hasattr(getattr(self, "head", None), "in_features"):
            raise UserError(
                f"D, a {path_of(self)}, does not say how many features its head reads, as a regularizer wants to know: "
                f"let the head be one nn.Linear, and what comes before it a part of the body."
            )
        return self.head.in_features

    def forward(self, x: Images, y: Labels | None = None) -> Verdict:
        """The verdict on a batch; y is for networks that look at labels."""
        features = apply_layer(self.body, x, y).flatten(1)
        return Verdict(at_least_float32(apply_layer(self.head, features, y).squeeze(1)), at_least_float32(features))


def at_least_float32(x: Tensor) -> Tensor:
    """Returns x in single precision at least: losses are of small differences between outputs."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_float64(x: Tensor) -> Tensor:
    """Returns x in double precision: on the CPU if its device is Apple's, which has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def uniform_per_sample(x: Images) -> Tensor:
    """One number from U[0, 1) for each sample, as [b, 1, ...], so that it broadcasts over x."""
    return torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)


def single_precision(device: torch.device) -> AbstractContextManager:
    """Computes in the precision of what is given, whatever the training's is."""
    known = torch.amp.is_autocast_available(device.type)  # torch's meta device is not
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


# no protocol that is checked at run time: since Python 3.12 it does not find what a module keeps as its parts
class Game(ABC):
    """What a regularizer, and an order of play, may ask of the game they belong to."""

    global_step: int
    """Updates of G so far."""
    loss: "Loss"
    """What each player minimises."""
    regs: nn.ModuleDict
    """name -> regularizer, in the order in which they act."""
    curves: Any
    """Where what deserves a curve of its own is noted: `curves.add("d/p", tensor)`."""

    @abstractmethod
    def terms(self, turn: "Turn") -> dict[str, Tensor]:
        """What the turn's player minimises, term by term."""

    @abstractmethod
    def optimizers(self) -> list:
        """D's optimizer and G's in Lightning's wrapping, whose `optimizer` is torch's."""

    @abstractmethod
    def differentiate(self, move: "Move") -> None:
        """Computes the player's gradient."""

    @abstractmethod
    def update(self, move: "Move") -> None:
        """Steps the player's optimizer."""

    @abstractmethod
    def uncounted_step(self, optimizer) -> None:
        """Steps an optimizer and does nothing else."""


@dataclass
class Turn:
    """One player's view of one mini-batch. What nobody asks for is never computed.

    `x_fake`, `real` and `fake` are computed on first use and kept; a `stage` may assign to any of
    them, or to `x_real`, `z`, `y`, `y_fake`, `G` and `D`, before the loss looks. It calls `show` to
    put other samples before D, and `forget` after any other change that makes a verdict out of
    date. `y` are the labels of the real samples, `y_fake` those of the generated ones, the same if
    none are given.
    """

    player: Player
    G: Generator
    D: Discriminator
    x_real: Images
    y: Labels
    z: Latents
    game: Game | None = None
    y_fake: Labels | None = None

    def __post_init__(self):
        if self.y_fake is None:
            self.y_fake = self.y

    @cached_property
    def x_fake(self) -> Images:
        """G's samples; they carry a graph on G's turn only."""
        with torch.set_grad_enabled(self.player == "g"):
            samples = forwarded(self.G, self.z, self.y_fake)
        if not isinstance(samples, Tensor):
            raise UserError(
                f"G, a {path_of(self.G)}, returns a {type(samples).__name__}, but it must return its samples as one "
                f"tensor: leave its `forward` to lit_gan.Generator, or end it in them."
            )
        if samples.shape != (len(self.z), *self.G.shape):
            raise UserError(
                f"G, a {path_of(self.G)}, gives samples of shape {[*samples.shape]} for {len(self.z)} latent vectors, "
                f"and is to give {[len(self.z), *self.G.shape]}: let the last layer of its body give what data.shape "
                f"says."
            )
        return samples

    @cached_property
    def real(self) -> Verdict:
        """D's verdict on the real images."""
        return verdict_on(self.D, self.x_real, self.y)

    @cached_property
    def fake(self) -> Verdict:
        """D's verdict on the generated images."""
        return verdict_on(self.D, self.x_fake, self.y_fake)

    def show(self, x_real: Images | None = None, x_fake: Images | None = None) -> None:
        """Puts these samples before D and forgets its verdicts on those that they replace."""
        if x_real is not None:
            self.x_real = x_real
            self.forget("real")
        if x_fake is not None:
            self.x_fake = x_fake
            self.forget("fake")

    def forget(self, *verdicts: Literal["real", "fake"]) -> None:
        """Lets D judge anew when these verdicts are next asked for."""
        for verdict in verdicts:
            vars(self).pop(verdict, None)  # where cached_property keeps its value


def verdict_on(D: Discriminator, x: Images, y: Labels) -> Verdict:
    """D's verdict on a batch.

    Raises:
        UserError: it is none, or has not one logit for each sample.
    """
    verdict = forwarded(D, x, y)
    if not isinstance(verdict, Verdict):
        raise UserError(
            f"D, a {path_of(D)}, returns a {type(verdict).__name__}, but it must return a lit_gan.Verdict: leave its "
            f"`forward` to lit_gan.Discriminator, or end it in Verdict(logits, features)."
        )
    if verdict.logits.shape != (len(x) // D.pack,):
        packs = f" packs of {D.pack}" if D.pack > 1 else ""
        raise UserError(
            f"D, a {path_of(D)}, gives logits of shape {[*verdict.logits.shape]}, but it must give one for each of "
            f"{len(x) // D.pack}{packs} samples: let its head have one output."
        )
    return verdict


def forwarded(network: nn.Module, x: Tensor, y: Labels) -> Any:
    """What a network makes of a batch; an error in it names the network, of whose layers no line in the
    traceback tells."""
    try:
        return network(x, y)
    except Exception as error:
        note_own(error, "forward", [network], f", asked about {[*x.shape]}")
        raise


Move = list[Turn]
"""One player's turns before its next update."""


class Term(nn.Module):
    """Something that adds to a player's objective, `d` to D's and `g` to G's.

    A game gives a regularizer the name that it has in the configs; until then, and for losses, `name`
    is the class's name in snake_case: `NonSaturating` is `non_saturating`.
    """

    def __init__(self):
        super().__init__()
        self.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def check(self, G: Generator, D: Discriminator) -> None:
        """Called once, when all regularizers are attached: refuse what cannot work, note what is
        needed later."""

    def objective(self, turn: Turn) -> Float[Tensor, ""] | None:
        """What this adds to the objective of the turn's player; None for nothing.

        Raises:
            UserError: `d` or `g` is of several numbers, or of none.
        """
        value = self.d(turn) if turn.player == "d" else self.g(turn)
        return None if value is None else as_scalar(value, self, turn.player)


def as_scalar(value: Any, term: Term, player: Player) -> Tensor:
    """A term's objective as it is.

    Raises:
        UserError: it is no tensor of one real number; names the method that returns it.
    """
    is_complex = isinstance(value, Tensor) and value.is_complex()
    if isinstance(value, Tensor) and value.numel() == 1 and not is_complex:
        return value
    kind, number = ("complex tensor", "real number") if is_complex else ("tensor", "number")
    what = f"a {kind} of shape {[*value.shape]}" if isinstance(value, Tensor) else repr(value)
    raise UserError(
        f"{path_of(term)}.{player} returns {what}, but it must return one {number} as a tensor: the mean over the "
        f"batch, say."
    )


class Loss(Term):
    """What each player minimises: scalars, the mean over the batch.

    Args:
        g_weight: multiplies G's objective; 0 leaves G to the regularizers (feature matching).
    """

    boundary: float | None = None
    """The logit from which D takes a sample for real; None where only differences of its outputs mean
    something."""
    zero_sum: bool = False
    """Whether G's loss is D's gain. `g` leaves out D's term on real samples even then: G does not
    move it as long as D does not depend on G."""
    set_by_constructor = "g_weight"

    @checked
    def __init__(self, g_weight: Number = 1.0):
        super().__init__()
        self.g_weight = g_weight

    def curves(self) -> dict[str, Float[Tensor, ""]]:
        """What has a curve of its own beside the objective, as it is after one of D's turns."""
        return {}

    def objective(self, turn: Turn) -> Float[Tensor, ""]:
        """What the turn's player minimises.

        Raises:
            UserError: `d` or `g` is no scalar.
        """
        value = as_scalar(super().objective(turn), self, turn.player)
        return value if turn.player == "d" else self.g_weight * value

    def d(self, turn: Turn) -> Float[Tensor, ""]:
        """D's objective."""
        raise not_written(self, "d(turn)")

    def g(self, turn: Turn) -> Float[Tensor, ""]:
        """G's objective."""
        raise not_written(self, "g(turn)")


class Regularizer(Term):
    """A trick: a term for either player, times `weight`, and hooks that do nothing unless overridden.

    State that must survive a resume is a buffer.

    Args:
        weight: multiplies the terms of both players.
        every: the terms are added in every so many generator updates only, the first among them,
            and as many times as large; null for each. Lazy regularization, Karras et al. 2020
            (StyleGAN2), section 3.1. D has them in all of its turns of such an update, and their
            curves show them as they are added.
    """

    moves_d: bool = False
    """Whether it changes D's weights itself, beside the steps of D's optimizer."""
    counts_on_samples: bool = False
    """Whether it makes several samples of like latent vectors in a turn and counts on their being
    alike."""
    changes_samples: bool = False
    """Whether it puts other generated samples before D than G has made."""
    turns_images: bool = False
    """Whether it shows D images that are turned by quarters, or by any angle."""
    adds_term: bool = True
    """Whether its `d` and `g`, where it has them, are terms, which `weight` multiplies."""
    set_by_constructor = "every"

    @checked
    def __init__(self, weight: Number = 1.0, every: CountOrNone = None):
        super().__init__()
        self.weight, self.every = weight, every or 1

    @property
    def movable_probability(self) -> Tensor | None:
        """The probability with which it changes what D is shown, a buffer, where nothing else moves it;
        None for none."""

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Called once, in list order, before the optimizers exist: reparametrise, swap layers, add
        a head."""

    def check_others(self, regs: Mapping[str, "Regularizer"]) -> None:
        """Called once, after every `check`, with all regularizers: refuse impossible company."""

    def is_due(self, turn: Turn) -> bool:
        """Whether the terms are added in this generator update."""
        return self.every == 1 or turn.game.global_step % self.every == 0

    def objective(self, turn: Turn) -> Float[Tensor, ""] | None:
        """The term of the turn's player times `weight` and `every`; None for no term."""
        value = super().objective(turn) if self.is_due(turn) else None
        return None if value is None else self.weight * self.every * value

    def stage(self, turn: Turn) -> None:
        """Called before a turn: change what the player is shown."""

    def d(self, turn: Turn) -> Float[Tensor, ""] | None:
        """A term for D, or None for no term."""

    def g(self, turn: Turn) -> Float[Tensor, ""] | None:
        """A term for G, or None for no term."""

    def project(self, turn: Turn) -> None:
        """Called after the player's update, without gradients."""
