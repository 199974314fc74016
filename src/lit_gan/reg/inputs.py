"""Regularizers of the discriminator's input: what it is shown, and how."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.errors import UserError
from lit_gan.game import (
    Discriminator,
    Generator,
    Images,
    Labelled,
    Layers,
    Pictures,
    Regularizer,
    Turn,
    uniform_per_sample,
)
from lit_gan.layers import WrongShape, n_inputs, reader_positions, widen
from lit_gan.ranges import Count, CountOrNone, NonNegative, Switch, Whole, checked
from lit_gan.system.processes import as_the_first, whole_batch


def looks_at_labels(network: nn.Module) -> bool:
    """Whether a layer in it does more with labels than to pass them on to the layers inside."""
    return any(isinstance(layer, Labelled) and not passes_on(layer) for layer in network.modules())


def passes_on(layer: Labelled) -> bool:
    """Whether what a layer shows the labels to is inside it."""
    return isinstance(layer, Layers) or any(isinstance(inner, Labelled) for inner in layer.children())


class InstanceNoise(Regularizer):
    """N(0, sigma^2) on all that D sees, real and generated, in both players' turns. Sønderby et al.
    2017, 3.2.1.

    Args:
        sigma: the standard deviation at the start, where images are in [-1, 1].
        until: generator updates over which it falls linearly to 0; null for a constant one.

    Raises:
        UserError: a negative sigma, or `until` below 1.
    """

    changes_samples = True

    @checked
    def __init__(self, sigma: NonNegative = 0.1, until: CountOrNone = None):
        super().__init__()
        self.sigma, self.until = sigma, until
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @property
    def present(self) -> Float[Tensor, ""]:
        """The standard deviation at the present update."""
        left = 1 - self.updates / self.until if self.until else torch.ones((), device=self.updates.device)
        return self.sigma * left.clamp(min=0)

    def stage(self, turn: Turn) -> None:
        """Fresh noise for every sample."""
        turn.show(*(x + self.present.to(x.dtype) * torch.randn_like(x) for x in (turn.x_real, turn.x_fake)))

    def project(self, turn: Turn) -> None:
        """Counts G's updates."""
        if turn.player == "g":
            self.updates += 1


class DiffAugment(Regularizer):
    """Every image that D sees, real or generated, in either player's turn, is augmented. Zhao et
    al. 2020, Eqs. 4-6.

    Gradients pass through to G. Each image is changed in its own random way; the strengths are the
    authors'.

    Args:
        policy: any of "color" (brightness, saturation, contrast; grey images have no saturation),
            "translation" (up to an eighth of the size, zeros enter) and "cutout" (a square of half
            the size is 0), applied in this order.

    Raises:
        UserError: another word.
    """

    changes_samples = True

    def __init__(self, policy: Sequence[str] = ("color", "translation", "cutout")):
        super().__init__()
        unknown = [policy] if isinstance(policy, str) else [word for word in policy if word not in POLICIES]
        if unknown:
            raise UserError(
                f"reg.diff_augment.policy has {unknown[0]}: it is a list of words out of {', '.join(POLICIES)}, "
                f"such as reg.diff_augment.policy=[translation,cutout]."
            )
        self.steps = [step for word in policy for step in POLICIES[word]]

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses samples that are no images.

        Raises:
            UserError: the samples are points or texts.
        """
        if len(G.shape) != 3:
            raise WrongShape(G, "reg=diff_augment changes images", "use reg=instance_noise, which goes with any")

    def stage(self, turn: Turn) -> None:
        """Augments both kinds."""
        turn.show(self.augmented(turn.x_real), self.augmented(turn.x_fake))

    def augmented(self, x: Pictures) -> Pictures:
        """Each image changed."""
        for step in self.steps:
            x = step(x)
        return x


def brightness(x: Pictures) -> Pictures:
    """One number from [-0.5, 0.5) added to each image."""
    return x + uniform_per_sample(x) - 0.5


def saturation(x: Pictures) -> Pictures:
    """Each pixel's distance from its grey multiplied by one number of [0, 2) for each image."""
    return torch.lerp(x.mean(1, keepdim=True), x, 2 * uniform_per_sample(x))


def contrast(x: Pictures) -> Pictures:
    """Each image's distance from its mean multiplied by one number of [0.5, 1.5)."""
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, uniform_per_sample(x) + 0.5)


def translation(x: Pictures) -> Pictures:
    """Each image moved by whole pixels, up to an eighth of its height and width either way; zeros
    enter."""
    return moved(x, *(int(size / 8 + 0.5) for size in x.shape[2:]))


def moved(x: Pictures, up: int, aside: int, mode: str = "constant") -> Pictures:
    """Each image moved by its own random whole numbers of pixels, up to these; `mode` says what
    enters (F.pad)."""
    n, _, height, width = x.shape
    rows = torch.randint(2 * up + 1, (n, 1), device=x.device) + torch.arange(height, device=x.device)
    columns = torch.randint(2 * aside + 1, (n, 1), device=x.device) + torch.arange(width, device=x.device)
    padded = F.pad(x, (aside, aside, up, up), mode).movedim(1, -1)
    each = torch.arange(n, device=x.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def cutout(x: Pictures) -> Pictures:
    """A square of half of each image's height and width is 0; its centre is anywhere, its rest may
    be outside."""
    rows, columns = hidden(x, x.shape[2]), hidden(x, x.shape[3])
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def hidden(x: Pictures, size: int) -> Tensor:
    """For each image the rows, or columns, of an interval of half the size around a random one, [b,
    size]."""
    length = int(size / 2 + 0.5)
    start = torch.randint(size + 1 - length % 2, (len(x), 1), device=x.device) - length // 2
    place = torch.arange(size, device=x.device)
    return (start <= place) & (place < start + length)


POLICIES: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "color": [brightness, saturation, contrast],
    "translation": [translation],
    "cutout": [cutout],
}


class FlipAndShift:
    """The T of consistency regularization: a random flip and a shift of a few pixels. Zhang et al.
    2020, section 3.

    Args:
        pixels: longest shift in either direction; the image is reflected at its borders.
        flip: whether half of the images are mirrored left to right; no for digits and letters.

    Raises:
        UserError: a shift that is no whole number from 0 on.
    """

    @checked
    def __init__(self, pixels: Whole = 4, flip: Switch = True):
        self.pixels, self.flip = pixels, flip

    def __call__(self, x: Pictures) -> Pictures:
        """Each image in its own way."""
        if self.flip:
            x = torch.where(uniform_per_sample(x) < 0.5, x.flip(3), x)
        up, aside = (min(self.pixels, size - 1) for size in x.shape[2:])
        return moved(x, up, aside, "reflect")


class ExperienceReplay(Regularizer):
    """Half of the generated samples that D learns from are old ones. Shrivastava et al. 2017,
    section 2.3.

    A buffer keeps `capacity` samples; each turn of D takes half a batch from it at random, and then
    replaces as many random entries by those fresh samples that D was shown. It fills first, and is
    used from its first entries on. Before what changes D's input in `reg` it keeps samples as G
    made them, behind as D saw them.

    Args:
        capacity: samples in the buffer; 50 batches in the popular implementation. They are part of
            every checkpoint.

    Raises:
        UserError: a capacity that is no whole number from 1 on.
    """

    changes_samples = True

    @checked
    def __init__(self, capacity: Count = 3200):
        super().__init__()
        self.capacity = capacity

    def check(self, G: Generator, D: Discriminator) -> None:
        """Makes the buffer.

        Raises:
            UserError: a network looks at labels, and those of old samples are not those of the
                batch.
        """
        if looks_at_labels(G) or looks_at_labels(D) or len(D.heads):
            raise UserError(
                "reg=experience_replay shows D old samples beside the latents and labels of new ones, which this game "
                "also looks at: leave it out, or set labels=none."
            )
        self.register_buffer("past", torch.zeros(self.capacity, *G.shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def stage(self, turn: Turn) -> None:
        """Mixes D's batch, then refreshes the buffer."""
        if turn.player == "d":
            n = len(turn.x_fake) // 2
            fresh, replaced = turn.x_fake.split([len(turn.x_fake) - n, n])
            turn.show(x_fake=torch.cat([fresh, self.recalled(replaced)]))
            self.remember(fresh[:n])

    def recalled(self, instead: Images) -> Images:
        """Random samples of the buffer; while it is empty, those given."""
        past = self.past[(torch.rand(len(instead), device=instead.device) * self.filled).long()]
        return torch.where(self.filled > 0, past.to(instead.dtype), instead)

    @torch.no_grad()
    def remember(self, x: Images) -> None:
        """Puts the samples of all processes into free entries, into random ones where there are none;
        all of them different, and the same in each process."""
        x = whole_batch(x)[: self.capacity].to(self.past.dtype)
        free = (self.filled + torch.arange(len(x), device=x.device)) % self.capacity
        used = torch.randperm(self.capacity, device=x.device)[: len(x)]
        as_the_first(used)
        self.past[torch.where(self.filled < self.capacity, free, used)] = x
        self.filled.add_(len(x)).clamp_(max=self.capacity)


class Pack(nn.Module):
    """m samples as one of m times the channels, [b, c, ...] to [b / m, m c, ...]."""

    def __init__(self, m: int):
        super().__init__()
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        """Packs of consecutive samples.

        Raises:
            UserError: m does not divide the batch.
        """
        if len(x) % self.m:
            raise UserError(
                f"reg.pacgan.m={self.m} does not divide the {len(x)} samples that D is shown at once: set batch_size "
                f"and g_batch_size, each over optim.accumulate, to multiples of {self.m}."
            )
        return x.reshape(len(x) // self.m, self.m * x.shape[1], *x.shape[2:])


class PacGAN(Regularizer):
    """D judges m samples at once, so that it sees a lack of variety. Lin et al. 2018, section 3.

    D's first layer reads m times the channels; there is one logit for each pack. It wants the last
    place among the entries of `reg` that change D's layers, but before those that reparametrise its
    weights.

    Args:
        m: samples in a pack, 2 to 4 in the paper.

    Raises:
        UserError: m is no whole number from 1 on.
    """

    @checked
    def __init__(self, m: Count = 2):
        super().__init__()
        self.m = m

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Packs before D's first layer.

        Raises:
            UserError: D is not of layers in a row, or is reparametrised already.
        """
        if type(D).forward is not Discriminator.forward or not isinstance(D.body, Layers):
            raise UserError(
                "reg=pacgan packs samples before D's first layer, but this D compares them with its output: choose "
                "another model, or leave it out."
            )
        layers = Layers(*D.body, D.head)
        first = layers[reader_positions(layers)[0]]
        widen(first, (self.m - 1) * n_inputs(first))
        D.body.insert(0, Pack(self.m))
        D.pack *= self.m

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses a D that looks at one label a sample, as a pack has m of them.

        Raises:
            UserError: D looks at labels, or at the latents of single samples.
        """
        if looks_at_labels(D) or len(D.heads):
            raise UserError(
                "reg=pacgan gives D several samples at once, so it cannot judge the label or code of one: set "
                "labels=none and leave such regularizers out, or leave out pacgan."
            )
