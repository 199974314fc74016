"""Surgery on networks: places for norms, layers that read more channels, weights as operators.

A convolution's matrix is [out, in * height * width], an embedding's maps one-hot labels to vectors.
"""

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from lit_gan.errors import UserError, one_line, path_of
from lit_gan.game import Discriminator, Generator, Labelled, Labels, Latents, Layers, at_least_float32, in_float64

Network = TypeVar("Network", bound=nn.Module)
Matrix = Float[Tensor, "out rest"]


class WrongShape(UserError):
    """Samples of a shape with which something cannot be done.

    Args:
        done: what would be done to which samples, "reg=ada changes images".
        way_out: "use reg=apa, which goes with any".
    """

    def __init__(self, G: Generator, done: str, way_out: str):
        super().__init__(f"{done}, but the samples here have shape {list(G.shape)}: {way_out}.")


class NormSlot(nn.Identity):
    """A place in a network where a normalisation of `channels` channels may be put; the identity
    until one is."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels


class LatentLinear(nn.Linear):
    """A linear layer of G that reads the same code as `LatentNorm`."""


class LabelVectors(nn.Embedding):
    """A vector for each class, all at right angles at the start where they are long enough."""

    def __init__(self, n_classes: int, size: int):
        super().__init__(n_classes, size)
        nn.init.orthogonal_(self.weight)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.num_embeddings


class LatentNorm(nn.Module):
    """Batch normalisation whose gain and bias are linear in a code of each sample: (1 + A c) x + B c.

    Brock et al. 2019 (BigGAN), where the code is a part of the latent vector and a vector of the
    label.

    Args:
        channels: of what it normalises.
        code: length of c.
    """

    def __init__(self, channels: int, code: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = (nn.Linear(code, channels, bias=False) for _ in range(2))

    def widen(self, extra: int) -> None:
        """Reads codes that are longer by `extra`."""
        widen(self.gain, extra)
        widen(self.bias, extra)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """[b, channels, h, w] normalised over the batch, then scaled and shifted."""
        gain, bias = (linear(code)[..., None, None] for linear in (self.gain, self.bias))
        return torch.addcmul(bias, 1 + gain, self.norm(x))


class SharedLabelGenerator(Generator):
    """A generator whose layers of kind `LatentLinear` and `LatentNorm` read, once labels reach it, one
    vector of each label, behind their part of its own latent vector.

    What regularizers append to the latent vector is read after both.

    Args:
        label_size: length of the vector of the label.
    """

    label_vectors: type[nn.Module] = LabelVectors
    """Makes the vectors, by the number of classes and the length."""
    embedding: nn.Module | None
    """The vectors; None as long as labels do not reach G."""

    def __init__(self, shape: Sequence[int], z_dim: int, prior: str, label_size: int):
        super().__init__(shape, z_dim, prior)
        self.embedding, self.label_size = None, label_size

    def label_readers(self) -> list[nn.Module]:
        """The layers that would read the vector."""
        return [layer for layer in self.modules() if isinstance(layer, LatentLinear | LatentNorm)]

    def share_labels(self, n_classes: int) -> None:
        """Lets labels reach G: `label_readers` read their vectors after what they have read."""
        self.embedding = self.label_vectors(n_classes, self.label_size)
        for layer in self.label_readers():
            widen(layer, self.label_size)

    def with_label(self, code: Latents, y: Labels | None) -> Tensor:
        """[b, n] with the vectors of the labels behind it, if there are any."""
        return code if self.embedding is None else torch.cat([code, self.embedding(y)], 1)


class LastLayer(Labelled):
    """What labels put in the place of D's last layer."""


class ClassMargins(LastLayer):
    """A last layer of D that tells K classes and "generated" apart: by how much the class of each
    sample is ahead of all others.

    Args:
        in_features: length of the features.
        n_classes: K.
    """

    def __init__(self, in_features: int, n_classes: int):
        super().__init__()
        self.n_classes, self.linear = n_classes, nn.Linear(in_features, n_classes + 1)

    @property
    def in_features(self) -> int:
        """Length of the features."""
        return self.linear.in_features

    def widen(self, extra: int) -> None:
        """Reads `extra` more features."""
        widen(self.linear, extra)

    def generated(self, features: Tensor) -> Float[Tensor, " b"]:
        """By how much "generated" is ahead of all classes."""
        classes, generated = at_least_float32(self.linear(features)).split([self.n_classes, 1], 1)
        return generated.squeeze(1) - classes.amax(1)

    def forward(self, features: Tensor, y: Labels) -> Float[Tensor, "b 1"]:
        """By how much each sample's class is ahead."""
        scores = at_least_float32(self.linear(features))
        own = scores.gather(1, y[:, None])
        return own - scores.scatter(1, y[:, None], -torch.inf).amax(1, keepdim=True)


class Equalised(nn.Module):
    """The parametrisation gain * weight, of a weight that is stored larger than it is applied.

    An optimizer whose steps do not depend on the size of the gradient, Adam, then moves all layers
    at the same rate relative to their size. Karras et al. 2018 (progressive growing), section 4.1.
    """

    def __init__(self, gain: float):
        super().__init__()
        self.gain = gain

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as applied."""
        return weight * self.gain

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight as stored."""
        return weight / self.gain


def equalised(layer: nn.Module, multiplier: float = 1.0) -> nn.Module:
    """Gives a convolution or linear layer an equalised learning rate: weights from N(0, 1 / fan_in),
    stored as N(0, 1 / multiplier^2), and biases 0.

    Args:
        multiplier: of the learning rate, of biases, too; 0.01 in the mapping networks of Karras et
            al. 2019.
    """
    std = layer.weight[0].numel() ** -0.5
    nn.init.normal_(layer.weight, 0.0, std)
    parametrize.register_parametrization(layer, "weight", Equalised(multiplier * std))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        if multiplier != 1:
            parametrize.register_parametrization(layer, "bias", Equalised(multiplier))
    return layer


def equalisation(layer: nn.Module) -> Equalised | None:
    """The gain of a layer's weight, where it has one."""
    parts = layer.parametrizations["weight"] if parametrize.is_parametrized(layer, "weight") else []
    return next((part for part in parts if isinstance(part, Equalised)), None)


def is_reparametrised(layer: nn.Module) -> bool:
    """Whether something else than an equalised learning rate is between what a layer stores and what
    it applies."""
    lists = layer.parametrizations.values() if parametrize.is_parametrized(layer) else []
    return any(not isinstance(part, Equalised) for parts in lists for part in parts)


def n_classes_of(network: nn.Module) -> int | None:
    """How many classes a network tells apart; None if it looks at no labels."""
    return max((layer.n_classes for layer in network.modules() if hasattr(layer, "n_classes")), default=None)


def running_statistics(network: nn.Module) -> Iterator[Tensor]:
    """The means over batches that a network keeps: those of batch normalisation, and what a layer names
    in an attribute `running_statistics`."""
    for layer in network.modules():
        names = ("running_mean", "running_var") if isinstance(layer, _BatchNorm) else ()
        for name in getattr(layer, "running_statistics", names):
            if getattr(layer, name) is not None:
                yield getattr(layer, name)


OPERATORS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
OUTPUTS_SECOND = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Embedding)


def weight_layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, layer) of every convolution and linear layer: the layers whose weight is an
    operator."""
    return ((name, layer) for name, layer in network.named_modules() if isinstance(layer, OPERATORS))


def out_axis(layer: nn.Module) -> int:
    """The axis of a layer's weight that counts its outputs."""
    return 1 if isinstance(layer, OUTPUTS_SECOND) else 0


def as_matrix(weight: Tensor, axis: int) -> Matrix:
    """A weight as the operator [out, in * height * width], `axis` its `out_axis`. Miyato et al.
    2018, section 2.1.

    The columns stand in the order in which the weight lies in memory, so that nothing is copied: no
    norm, singular value or product of rows depends on it.
    """
    others = sorted((other for other in range(weight.dim()) if other != axis), key=weight.stride, reverse=True)
    return weight.permute(axis, *others).flatten(1)


def weighted_positions(body: Layers, kinds: tuple[type[nn.Module], ...] = OPERATORS) -> list[int]:
    """Positions of the layers of some kinds, and of the blocks with such layers in them."""
    return [place for place, layer in enumerate(body) if any(isinstance(part, kinds) for part in layer.modules())]


def reader_positions(body: Layers) -> list[int]:
    """Positions of the layers whose number of input channels `widen` can raise."""
    return [place for place, layer in enumerate(body) if hasattr(layer, "widen") or reads_all(layer)]


def reads_all(layer: nn.Module) -> bool:
    """Whether it is a layer each of whose outputs reads every input channel."""
    return isinstance(layer, OPERATORS) and getattr(layer, "groups", 1) == 1


def n_inputs(layer: nn.Module) -> int:
    """Number of input channels of a reader."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def require_plain(layer: nn.Module) -> None:
    """Refuses a layer that has to be rebuilt and is not as its network made it.

    Raises:
        UserError: a weight in it is reparametrised already.
    """
    if any(is_reparametrised(part) for part in layer.modules()):
        raise UserError(
            "A layer that has to read more channels is already reparametrised: in reg=[...], put spectral, "
            "weight_norm and the like last."
        )


def widen(layer: nn.Module, extra: int) -> None:
    """Lets a layer, or a block that has a method `widen`, read `extra` more channels after those it
    has.

    The new weights are drawn as large as the old ones, in the root mean square. Where the learning
    rate is equalised, all of them are then applied as much smaller as there are more.

    Raises:
        UserError: the layer's weight is reparametrised already.
    """
    if hasattr(layer, "widen"):
        return layer.widen(extra)
    require_plain(layer)
    axis = 1 - out_axis(layer)
    shape = list(layer.weight.shape)
    before, shape[axis] = shape[axis], extra
    more = torch.randn(shape).to(layer.weight) * layer.weight.detach().square().mean().sqrt()
    weight, scaling = torch.cat([layer.weight.detach(), more], axis), equalisation(layer)
    layer.weight = nn.Parameter(weight) if scaling is None else weight
    if scaling is not None:
        scaling.gain *= (before / (before + extra)) ** 0.5
    name = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
    setattr(layer, name, n_inputs(layer) + extra)


def operators(network: nn.Module) -> list[nn.Module]:
    """The layers whose weight is an operator: convolutions, linear layers and embeddings, those of
    heads included."""
    return [layer for layer in network.modules() if isinstance(layer, (*OPERATORS, nn.Embedding))]


def applied_weights(network: nn.Module) -> list[Matrix]:
    """The weights of a network as applied: after a reparametrisation, if there is one."""
    return [as_matrix(layer.weight, out_axis(layer)) for layer in operators(network)]


def trained_weight(layer: nn.Module) -> Tensor:
    """A layer's weight before spectral norm or the like divides it; where another reparametrisation
    has it, as it is applied."""
    if not parametrize.is_parametrized(layer, "weight") or equalisation(layer) is not None:
        return layer.weight
    stored = getattr(layer.parametrizations["weight"], "original", None)
    return layer.weight if stored is None else stored


@torch.no_grad()
def singular_values(network: nn.Module) -> dict[str, Float[Tensor, " r"]]:
    """Singular values of every weight layer by the layers' names, the largest first, on the CPU.

    They are those of a copy in eval mode: in training, reading a spectrally normalised weight moves
    its singular vectors.
    """
    still = copied(network).eval()
    matrices = {name: as_matrix(layer.weight, out_axis(layer)) for name, layer in weight_layers(still)}
    return {name: torch.linalg.svdvals(in_float64(matrix)).cpu() for name, matrix in matrices.items()}


def letter_of(network: Generator | Discriminator) -> str:
    """What a player is called, "G" or "D"."""
    return "D" if isinstance(network, Discriminator) else "G"


def require_weights(network: Generator | Discriminator, name: str) -> None:
    """Refuses a player without weights to a regularizer called `name` that makes something of those.

    Raises:
        UserError: no layer of the player has a weight.
    """
    if not operators(network):
        raise UserError(
            f"reg={name} finds no convolution or linear layer in {letter_of(network)}: leave it out, or choose another "
            f"model."
        )


def plain_weight_layers(network: Generator | Discriminator, name: str) -> list[nn.Module]:
    """The layers of a player with a weight, for a regularizer called `name` that needs weights
    nobody reparametrises but by an equalised learning rate.

    Raises:
        UserError: another reparametrisation has them already.
    """
    layers = operators(network)
    if any(is_reparametrised(layer) for layer in layers):
        raise UserError(
            f"reg={name} finds {letter_of(network)}'s weights already reparametrised by another entry of reg, as "
            f"spectral does: leave one of the two out."
        )
    return layers


def stored_weight_layers(network: Generator | Discriminator, name: str) -> list[nn.Module]:
    """The layers of a player with a weight, for a regularizer called `name` that changes the numbers
    which are stored.

    Raises:
        UserError: as `plain_weight_layers`, or others are applied.
    """
    layers = plain_weight_layers(network, name)
    if any(equalisation(layer) is not None for layer in layers):
        raise UserError(
            f"reg={name} changes weights as they are stored, and {letter_of(network)} applies others, as its learning "
            f"rates are equalised by the chosen model or labels: leave it out, as in reg=[r1]."
        )
    return layers


class LargestSingularValue(nn.Module):
    """sigma(W) by power iteration from where the last one ended, never too large. Miyato et al.
    2018, Algorithm 1.

    The singular vector u is a buffer. It starts as a draw from N(0, I) and moves in training only,
    as in the authors' code.

    Args:
        n_power_iterations: per call.
        warm_up: before the first call.
    """

    u: Tensor

    def __init__(self, matrix: Matrix, n_power_iterations: int = 1, warm_up: int = 0):
        super().__init__()
        self.n_power_iterations = n_power_iterations
        self.register_buffer("u", torch.randn(len(matrix)).to(matrix))
        if warm_up:
            self.u.copy_(power_iteration(matrix, self.u, warm_up)[0])

    def forward(self, matrix: Matrix) -> Float[Tensor, ""]:
        """u^T W v with u and v constant, so that its gradient is u v^T."""
        u, v = power_iteration(matrix, self.u, self.n_power_iterations)
        if self.training:
            self.u.copy_(u)
        return torch.dot(u, torch.mv(matrix, v))


@torch.no_grad()
def power_iteration(matrix: Matrix, u: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """Left and right vector, of length 1, nearer to those of the largest singular value."""
    for _ in range(times):
        v = F.normalize(torch.mv(matrix.T, u), dim=0)
        u = F.normalize(torch.mv(matrix, v), dim=0)
    return u, v


def changes(network: nn.Module, act: Callable[[], None]) -> bool:
    """Whether an act changes of what layers a network is made, the shapes of its weights or what it
    hooks into them."""
    before = structure(network)
    act()
    return structure(network) != before


def structure(network: nn.Module) -> tuple:
    """What tells two networks apart beside the values of their weights."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    parts = [(type(part), sorted(vars(part)), len(part._forward_hooks)) for part in network.modules()]
    return str(network), shapes, parts, len(getattr(network, "latents", ()))


def copied(network: Network) -> Network:
    """A network of its own with the same weights.

    Raises:
        UserError: something in it cannot be copied.
    """
    try:
        return copy.deepcopy(network)
    except (TypeError, RuntimeError, pickle.PicklingError) as error:
        if isinstance(error, RuntimeError) and "deepcopy" not in str(error):
            raise
        raise UserError(
            f"{path_of(network)} cannot be copied ({one_line(str(error))}): moving averages and scores are made of "
            f"copies of the networks, so keep no open files, generators, locks or the like in it, and detach what it "
            f"keeps of a batch."
        ) from error


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@contextmanager
def fixed(*networks: nn.Module) -> Iterator[None]:
    """Computes no gradients for the parameters of networks, which would only be thrown away: on G's turn
    D's."""
    learning = [parameter for network in networks for parameter in trainable(network)]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
