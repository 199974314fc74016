"""Remedies for little data whose strength follows how sure D is of the real samples: ADA and APA."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_gan.errors import UserError, written
from lit_gan.game import (
    Discriminator,
    Generator,
    Images,
    Pictures,
    Regularizer,
    Scalar,
    Turn,
    at_least_float32,
    single_precision,
)
from lit_gan.layers import WrongShape
from lit_gan.ranges import Allowed, Count, Range, UnitInterval, checked, require
from lit_gan.system.processes import mean_over_processes, rank_and_size

PerImage = Float[Tensor, " b"]
Target = Annotated[float | None, Range(-1, most=1)]


def falls_on(x: Images, p: Scalar) -> Tensor:
    """A mask [b] that is true with probability p for each sample."""
    return torch.rand(len(x), device=x.device) < p


def over(each: Tensor, x: Images) -> Tensor:
    """Values [b], one for each sample, as [b, 1, ...], so that they broadcast over x."""
    return each.view(-1, *[1] * (x.dim() - 1))


class Placement:
    """Where the pixels of augmented images come from: matrix position + offset, both places in
    pixels from the centre, (column, row).

    Each method puts another step behind those that an image has gone through.
    """

    def __init__(self, x: Pictures):
        self.size = torch.stack([x.new_full((), x.shape[3]), x.new_full((), x.shape[2])])
        self.zeros = x.new_zeros(len(x))
        self.matrix = torch.eye(2, device=x.device, dtype=x.dtype).repeat(len(x), 1, 1)
        self.offset = x.new_zeros(len(x), 2)

    @property
    def same(self) -> Tensor:
        """Whether an image stays as it is, [b]."""
        identity = torch.eye(2, device=self.matrix.device, dtype=self.matrix.dtype)
        return (self.matrix == identity).flatten(1).all(1) & (self.offset == 0).all(1)

    def scale(self, across: PerImage, down: PerImage) -> None:
        """Makes each image so many times as wide and as high."""
        self.matrix = self.matrix / torch.stack([across, down], 1)[:, None]

    def rotate(self, angle: PerImage) -> None:
        """Turns each image by an angle, from the columns' axis to the rows'."""
        cos, sin = angle.cos(), angle.sin()
        self.matrix = self.matrix @ torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2)

    def move(self, by: Float[Tensor, "b 2"]) -> None:
        """Moves each image by so many pixels."""
        self.offset = self.offset - (self.matrix @ by[:, :, None]).squeeze(2)


def x_flip(place: Placement, p: Scalar) -> None:
    """Half of the images chosen are mirrored left to right."""
    flipped = falls_on(place.zeros, p) & (torch.rand_like(place.zeros) < 0.5)
    place.scale(torch.where(flipped, -1.0, 1.0), place.zeros + 1)


def rotate_90(place: Placement, p: Scalar) -> None:
    """Turns the images chosen by 0 to 3 quarters."""
    quarters = (4 * torch.rand_like(place.zeros)).floor()
    place.rotate(torch.where(falls_on(place.zeros, p), quarters, 0) * (math.pi / 2))


def integer_shift(place: Placement, p: Scalar) -> None:
    """Moves the images chosen by whole pixels, up to an eighth of the size in either direction."""
    part = (2 * torch.rand_like(place.offset) - 1) / 8
    place.move(torch.where(falls_on(place.zeros, p)[:, None], (part * place.size).round(), 0))


def scale(place: Placement, p: Scalar) -> None:
    """By 2^N(0, 0.2^2)."""
    factor = torch.where(falls_on(place.zeros, p), exp2(place.zeros, 0.2), 1)
    place.scale(factor, factor)


def rotation(place: Placement, p: Scalar) -> None:
    """By any angle with probability 1 - sqrt(1 - p), so that one of two such turns is p."""
    angle = (2 * torch.rand_like(place.zeros) - 1) * math.pi
    place.rotate(torch.where(falls_on(place.zeros, 1 - (1 - p).sqrt()), angle, 0))


def stretch(place: Placement, p: Scalar) -> None:
    """One axis by 2^N(0, 0.2^2), the other by its inverse."""
    factor = torch.where(falls_on(place.zeros, p), exp2(place.zeros, 0.2), 1)
    place.scale(factor, 1 / factor)


def shift(place: Placement, p: Scalar) -> None:
    """By N(0, 0.125^2) of the size in either direction."""
    part = torch.randn_like(place.offset) / 8
    place.move(torch.where(falls_on(place.zeros, p)[:, None], part * place.size, 0))


def exp2(x: PerImage, std: float) -> PerImage:
    """2^N(0, std^2) for each image."""
    return (torch.randn_like(x) * std).exp2()


PAD = 5
"""Pixels around an image that the filter needs, to make twice the image and its edge."""

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""The low-pass filter of the wavelet symlet 6. It is orthogonal to itself moved by two, so that an
image of twice the size becomes the image again."""


def resampled(x: Pictures, place: Placement, filter: Float[Tensor, " taps"]) -> Pictures:
    """Images as a placement puts them: twice as large, read where it says, and half as large."""
    height, width = x.shape[2:]
    twice = doubling(height, filter) @ x @ doubling(width, filter).T
    rows, columns = positions(height, x), positions(width, x)
    grid = torch.stack(torch.broadcast_tensors(columns, rows[:, None]), -1).flatten(0, 1)
    grid = torch.baddbmm(place.offset[:, None], grid.expand(len(x), -1, -1), place.matrix.mT)
    grid = torch.stack([read(grid[..., 0], width), read(grid[..., 1], height)], -1)
    moved = F.grid_sample(twice, grid.unflatten(1, (len(rows), len(columns))), align_corners=False)
    return halving(height, filter) @ moved @ halving(width, filter).T


def doubling(size: int, filter: Float[Tensor, " taps"]) -> Float[Tensor, "twice size"]:
    """The matrix that reflects a line of pixels at its ends and makes it twice as long.

    With products of matrices the whole is 2.7 times as fast as with convolutions, for 32 images of
    16 to 64 px on one thread of a CPU.
    """
    each = F.pad(torch.eye(size, device=filter.device, dtype=filter.dtype)[:, None], [PAD] * 2, "reflect")
    return F.conv_transpose1d(each, filter[None, None] * 2**0.5, stride=2)[:, 0].T


def halving(size: int, filter: Float[Tensor, " taps"]) -> Float[Tensor, "size twice"]:
    """The matrix that makes a line with an edge half as long."""
    each = torch.eye(2 * size + 2 * PAD, device=filter.device, dtype=filter.dtype)[:, None]
    return F.conv1d(each, filter[None, None] / 2**0.5, stride=2)[:, 0].T


def positions(size: int, x: Pictures) -> Float[Tensor, " n"]:
    """Where half pixels lie, in pixels from the centre; with an edge for the filter that halves the
    size."""
    return (torch.arange(2 * size + 2 * PAD, device=x.device, dtype=x.dtype) - PAD) / 2 - (size - 1) / 2


def read(position: Tensor, size: int) -> Tensor:
    """Where grid_sample finds a position of the image in its padded double; one far outside is
    reflected into it."""
    pixel = position + (size - 1) / 2
    period = max(2 * (size - 1), 1)
    inside = (size - 1) - (pixel.remainder(period) - (size - 1)).abs()
    near = (pixel >= -PAD / 2) & (pixel <= size + PAD // 2)  # what the filter reads around an image at rest
    pixel = torch.where(near, pixel, inside)
    return (2 * (2 * pixel + 3 * PAD) + 1) / (2 * size + 6 * PAD) - 1


def brighten(x: Pictures, p: Scalar) -> Pictures:
    """N(0, 0.2^2) added."""
    return x + drawn(x, p, lambda zeros: 0.2 * torch.randn_like(zeros), 0)


def scale_contrast(x: Pictures, p: Scalar) -> Pictures:
    """Multiplied by 2^N(0, 0.5^2)."""
    return x * drawn(x, p, lambda zeros: exp2(zeros, 0.5), 1)


def luma_flip(x: Pictures, p: Scalar) -> Pictures:
    """Half of the images chosen have the opposite grey, and the same distance from it."""
    flipped = drawn(x, p, lambda zeros: (torch.rand_like(zeros) < 0.5).float(), 0)
    return x - 2 * flipped * x.mean(1, keepdim=True)


def hue(x: Pictures, p: Scalar) -> Pictures:
    """Colours turned about the axis of grey by any angle; Rodrigues' formula."""
    if x.shape[1] == 1:
        return x
    angle = drawn(x, p, lambda zeros: (2 * torch.rand_like(zeros) - 1) * math.pi, 0)
    aside = (x.roll(1, 1) - x.roll(-1, 1)) / 3**0.5  # the cross product of (1, 1, 1) / sqrt(3) and the colour
    return x + (angle.cos() - 1) * (x - x.mean(1, keepdim=True)) + angle.sin() * aside


def saturate(x: Pictures, p: Scalar) -> Pictures:
    """Each pixel's distance from its grey multiplied by 2^N(0, 1)."""
    if x.shape[1] == 1:
        return x
    return x + (drawn(x, p, lambda zeros: exp2(zeros, 1), 1) - 1) * (x - x.mean(1, keepdim=True))


def add_noise(x: Pictures, p: Scalar) -> Pictures:
    """N(0, s^2) added to every value, with s = |N(0, 0.1^2)| for each image."""
    return x + torch.randn_like(x) * drawn(x, p, lambda zeros: 0.1 * torch.randn_like(zeros).abs(), 0)


def cut_out(x: Pictures, p: Scalar) -> Pictures:
    """A rectangle of half the height and width, around any point of the image, is 0."""
    rows, columns = (from_a_point(size, x) for size in x.shape[2:])
    reach = drawn(x, p, lambda zeros: zeros + 0.25, 0)
    return x * ~((rows[:, None, :, None] < reach) & (columns[:, None, None, :] < reach))


def from_a_point(size: int, x: Pictures) -> Float[Tensor, "b size"]:
    """How far the middles of pixels are from a random point for each image, in sizes of it."""
    middles = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5) / size
    return (middles - torch.rand(len(x), 1, device=x.device, dtype=x.dtype)).abs()


def drawn(x: Pictures, p: Scalar, draw: Callable[[PerImage], PerImage], otherwise: float) -> Float[Tensor, "b 1 1 1"]:
    """A value drawn for each image with probability p; the others get `otherwise`, which changes nothing."""
    zeros = x.new_zeros(len(x))
    return over(torch.where(falls_on(x, p), draw(zeros), otherwise), x)


MOVES: list[tuple[str, Callable[[Placement, Tensor], None]]] = [
    ("x_flip", x_flip),
    ("rotate_90", rotate_90),
    ("integer_shift", integer_shift),
    ("scale", scale),
    ("rotation", rotation),
    ("stretch", stretch),
    ("rotation", rotation),
    ("shift", shift),
]
TURNS = (rotate_90, rotation)
"""Those that turn an image."""
COLORS: list[tuple[str, Callable[[Pictures, Tensor], Pictures]]] = [
    ("brightness", brighten),
    ("contrast", scale_contrast),
    ("luma_flip", luma_flip),
    ("hue", hue),
    ("saturation", saturate),
]
CORRUPTIONS: list[tuple[str, Callable[[Pictures, Tensor], Pictures]]] = [("noise", add_noise), ("cutout", cut_out)]
BGC = tuple(dict.fromkeys(word for word, _ in [*MOVES, *COLORS]))
"""The policy of the paper's runs: pixel blitting, geometry, colours."""
WAYS = (*BGC, *(word for word, _ in CORRUPTIONS))
"""The words of a policy."""


class Adaptive(Regularizer):
    """Something that is done to samples with a probability p, which a controller moves. Karras et
    al. 2020 (ADA), section 3.

    r = E sign(D(x) - boundary) over the real samples of `interval` updates of D, of all processes,
    as it was shown them: 0 where D is undecided, 1 where it knows all of them. Then p grows by the
    number of those samples over `ramp` if r is above `target`, falls by as much if it is below, and
    stays in [0, 1]. The authors' code has no upper bound; beyond 1 samples would be changed no more,
    but p would be longer on its way back. The curves d/NAME_p and d/NAME_r show p and r.

    Args:
        p: the probability at the start, 0 to 1; 0 in the papers.
        target: of r; 0.6 in the papers; null keeps p as it is.
        ramp: real samples in which p can go from 0 to 1: 500,000 in the papers, for trainings of
            millions. A short training wants a tenth of its real samples or less.
        interval: D's updates from one move of p to the next; 4 in the authors' code.

    Raises:
        UserError: an argument out of its range.
    """

    adds_term = False  # `d` counts

    def __init__(self, p: float, target: float | None, ramp: int, interval: int):
        super().__init__()
        self.target, self.ramp, self.interval = target, ramp, interval
        self.register_buffer("p", torch.tensor(float(p)))
        if target is None:
            self.register_load_state_dict_pre_hook(keep_own_p)
        for name in ("signs", "judged", "shown"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @property
    def movable_probability(self) -> Tensor | None:
        """p, where no target moves it."""
        return self.p if self.target is None else None

    def d(self, turn: Turn) -> None:
        """Counts on which side of the boundary D puts the real samples of all processes; no term.

        Raises:
            UserError: the loss has no such boundary.
        """
        if self.target is not None:
            logits = turn.real.logits
            sign = (logits.detach() - self.boundary(turn)).sign()
            self.signs.add_(mean_over_processes(sign.mean()) * len(logits))
            self.judged.add_(len(logits))
            self.shown.add_(len(turn.x_real) * rank_and_size()[1])

    def boundary(self, turn: Turn) -> float:
        """The logit from which D takes a sample for real.

        Raises:
            UserError: the loss has none.
        """
        loss = turn.game.loss
        if loss.boundary is None:
            raise UserError(
                f"reg={self.name} counts the real samples that D takes for real, but the outputs of D under "
                f"loss={loss.name} have no boundary between real and generated: choose another loss, such as "
                f"loss=non_saturating, or a constant probability, reg.{self.name}.target=null reg.{self.name}.p=0.3."
            )
        return loss.boundary

    def project(self, turn: Turn) -> None:
        """Moves p after every `interval`-th update of D."""
        if turn.player == "d" and self.target is not None:
            self.updates += 1
            r, due = self.signs / self.judged, self.updates % self.interval == 0
            moved = (self.p + (r - self.target).sign() * self.shown / self.ramp).clamp(0, 1)
            self.p.copy_(torch.where(due, moved, self.p))
            for name, value in (("p", self.p.clone()), ("r", r)):
                turn.game.curves.add(f"d/{self.name}_{name}", value)
            for count in (self.signs, self.judged, self.shown):
                count.mul_(~due)


def keep_own_p(reg: Adaptive, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Has a probability that nothing moves be a setting: a branch may have another than its parent."""
    state[f"{prefix}p"] = reg.p.clone()


class APA(Adaptive):
    """In D's turn each real sample is replaced with probability p by a generated one, which D is to
    take for real. Jiang et al. 2021 (APA).

    The generated samples are those of the same turn, each in the place of its neighbour, so that no
    pair of a real and a generated sample is one sample twice. A replaced sample brings its own
    label: the authors' code leaves the label of the real sample that it replaces. Put it before
    what changes D's input, and before r1, which then sees the mixed samples.

    Args:
        p: the probability at the start, 0 to 1; 0 in the paper.
        target: of r, see `Adaptive`; 0.6 in the paper, less for fewer data; null keeps p.
        ramp: real samples in which p can go from 0 to 1; 500,000 in the authors' code.
        interval: D's updates from one move of p to the next; 4 in the authors' code.
    """

    @checked
    def __init__(self, p: UnitInterval = 0.0, target: Target = 0.6, ramp: Count = 500_000, interval: Count = 4):
        super().__init__(p, target, ramp, interval)

    def stage(self, turn: Turn) -> None:
        """Deceives D."""
        if turn.player == "d":
            x, y = (part.detach().roll(1, 0) for part in (turn.x_fake, turn.y_fake))
            deceived = falls_on(turn.x_real, self.p)
            turn.show(x_real=torch.where(over(deceived, x), x.to(turn.x_real.dtype), turn.x_real))
            turn.y = torch.where(deceived, y, turn.y)


class ADA(Adaptive):
    """Every image that D sees, real or generated, in either player's turn, is augmented in each of
    many ways with probability p. Karras et al. 2020 (ADA), section 2 and appendix B.

    Gradients pass through to G, also twice: put r1 before it, as in the authors' code, and the
    slope is that of the whole at the image before it was augmented. The strengths are the authors'.
    What moves pixels is one affine map, from an image of twice the size made by an orthogonal
    wavelet filter and back. Outside the image is the reflection of its double, again and again; the
    authors' code doubles the reflected image, and has zeros beyond the first reflection.

    Flips and turns change what a digit or a letter is: leave x_flip, rotate_90 and rotation out
    there.

    Args:
        policy: any of the ways, which act in the order of the paper: x_flip (half of the images
            chosen), rotate_90 (by 0 to 3 quarters), integer_shift (up to an eighth of the size),
            scale (by 2^N(0, 0.2^2)), rotation (any angle, before and after `stretch`), stretch
            (one axis by 2^N(0, 0.2^2), the other by its inverse), shift (by N(0, 0.125^2) of the
            size), brightness (plus N(0, 0.2^2)), contrast (times 2^N(0, 0.5^2)), luma_flip (half
            of the images chosen), hue (any angle), saturation (times 2^N(0, 1)), which are the
            authors' bgc, noise (of N(0, 0.1^2) for each image) and cutout (a rectangle of half the
            height and width is 0); grey images have neither hue nor saturation.
        multipliers: by which p is multiplied for single ways, 0 to 1, {brightness: 0.5}; 1 for the
            others; null for none.
        p: the probability at the start, 0 to 1; 0 in the paper.
        target: of r, see `Adaptive`; 0.6 in the paper; null keeps p.
        ramp: real images in which p can go from 0 to 1; 500,000 in the paper.
        interval: D's updates from one move of p to the next; 4 in the authors' code.

    Raises:
        UserError: another word in the policy, or a multiplier of none of its words or outside of
            0 to 1.
    """

    changes_samples = True

    @checked
    def __init__(
        self,
        policy: Sequence[str] = BGC,
        multipliers: Mapping[str, float] | None = None,
        p: UnitInterval = 0.0,
        target: Target = 0.6,
        ramp: Count = 500_000,
        interval: Count = 4,
    ):
        super().__init__(p, target, ramp, interval)
        multipliers = dict(multipliers or {})
        check_policy(policy, multipliers)
        self.moves, self.colors = (
            [(way, multipliers.get(word, 1)) for word, way in ways if word in policy]
            for ways in (MOVES, [*COLORS, *CORRUPTIONS])
        )
        self.turns_images = any(multiplier for way, multiplier in self.moves if way in TURNS)
        self.register_buffer("filter", torch.tensor(SYM6), persistent=False)

    def check(self, G: Generator, D: Discriminator) -> None:
        """Refuses what is no image.

        Raises:
            UserError: the samples are points, texts, of neither 1 nor 3 channels, or too small.
        """
        if len(G.shape) != 3 or G.shape[0] not in (1, 3) or min(G.shape[1:]) <= PAD:
            changed = f"images of 1 or 3 channels and at least {PAD + 1} x {PAD + 1} pixels"
            raise WrongShape(G, f"reg=ada changes {changed}", "use reg=apa, which goes with any")

    def stage(self, turn: Turn) -> None:
        """Augments both kinds."""
        turn.show(self.augmented(turn.x_real), self.augmented(turn.x_fake))

    def augmented(self, x: Pictures) -> Pictures:
        """Each image in its own way, computed in single precision."""
        with single_precision(x.device):
            y = at_least_float32(x)
            if self.moves:
                place = Placement(y)
                for move, multiplier in self.moves:
                    move(place, multiplier * self.p)
                y = torch.where(over(place.same, y), y, resampled(y, place, self.filter.to(y)))
            for color, multiplier in self.colors:
                y = color(y, multiplier * self.p)
        return y.to(x.dtype)


def check_policy(policy: Sequence[str], multipliers: Mapping[str, float]) -> None:
    """Refuses what is no policy of ADA.

    Raises:
        UserError: see `ADA`.
    """
    unknown = [policy] if isinstance(policy, str) else [word for word in policy if word not in WAYS]
    if unknown or not policy:
        has = f"has {unknown[0]}" if unknown else "is empty"
        raise UserError(
            f"reg.ada.policy {has}: it is a list of words out of {', '.join(WAYS)}, such as "
            f"reg.ada.policy=[shift,scale]."
        )
    for word, multiplier in multipliers.items():
        if word not in policy:
            raise UserError(
                f"reg.ada.multipliers.{word}={written(multiplier)} names no way in reg.ada.policy: put {word} into it, "
                f"or leave it out here."
            )
        require(f"reg.ada.multipliers.{word}", multiplier, Allowed.by(UnitInterval))
