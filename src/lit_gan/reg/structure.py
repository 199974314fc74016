"""Regularizers in the discriminator's structure: what fills the places kept for normalisation, and
dropout."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, Layers, Regularizer
from lit_gan.layers import NormSlot, weighted_positions
from lit_gan.ranges import Count, Probability, Switch, checked


class Normalisation(Regularizer):
    """Fills D's normalisation slots.

    Args:
        gamma: whether the layers learn a multiplier. Miyato et al. 2018, section 4, leave it out,
            to bound the Lipschitz constant, and keep the additive beta.
    """

    @checked
    def __init__(self, gamma: Switch = False):
        super().__init__()
        self.gamma = gamma

    def layer(self, channels: int) -> nn.Module:
        """The normalisation of `channels` channels."""
        raise NotImplementedError

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Puts a layer into every slot.

        Raises:
            UserError: D has no free slot.
        """
        slots = {name: slot for name, slot in D.named_modules() if isinstance(slot, NormSlot)}
        if not slots:
            raise UserError(
                f"reg={self.name} finds no free place for a normalisation in D: this model has none, or an earlier "
                f"entry of reg has filled them, so leave one of the two out."
            )
        for name, slot in slots.items():
            layer = self.layer(slot.channels)
            layer.weight.requires_grad_(self.gamma)
            D.set_submodule(name, layer)


class AnyBatchNorm(_BatchNorm):
    """Batch normalisation of [b, c] and of [b, c, h, w] alike.

    Raises:
        UserError: in training, of a single number a channel, which it would make 0 whatever it is.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """[b, c, ...] normalised."""
        if self.training and input.numel() == self.num_features:
            raise UserError(
                "reg=batch_norm cannot normalise a batch of one sample in this model, whose features have no "
                "positions: set batch_size and g_batch_size, each over optim.accumulate and the devices, to 2 or more, "
                "or choose reg=layer_norm."
            )
        return super().forward(input)


class BatchNorm(Normalisation):
    """Batch normalisation in D, everywhere but after its first layer. Ioffe and Szegedy 2015;
    Radford et al. 2016.

    A gamma starts at 1; that of Radford et al. is drawn from N(1, 0.02). Each of several processes
    normalises its own part of a batch, and the running statistics are the means of theirs.
    """

    def layer(self, channels: int) -> nn.Module:
        """Statistics over the batch, separately for real and generated images."""
        return AnyBatchNorm(channels)


class LayerNorm(Normalisation):
    """Layer normalisation in D: each sample over channels and positions together. Ba et al.
    2016."""

    def layer(self, channels: int) -> nn.Module:
        """One group of all channels, with one beta a channel."""
        return nn.GroupNorm(1, channels)


class PositionNorm(nn.GroupNorm):
    """Each channel of each sample over its positions, with one beta a channel.

    Raises:
        UserError: in use, of features without positions, which it would all make 0.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, ...] normalised."""
        if x.dim() < 3:
            raise UserError(
                "reg=instance_norm normalises over the positions of an image, which the features of this model have "
                "not: choose a convolutional model, or reg=layer_norm."
            )
        return super().forward(x)


class InstanceNorm(Normalisation):
    """Instance normalisation in D: each sample and channel over positions. Ulyanov et al. 2016, Eq.
    4."""

    def layer(self, channels: int) -> nn.Module:
        """As many groups as channels."""
        return PositionNorm(channels)


ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.GLU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid)


class Dropout(Regularizer):
    """Dropout after every activation of D, while it trains. Srivastava et al. 2014; Salimans et al.
    2016, code.

    Args:
        p: share of the activations set to 0; the others are divided by 1 - p.

    Raises:
        UserError: p outside [0, 1).
    """

    @checked
    def __init__(self, p: Probability = 0.5):
        super().__init__()
        self.p = p

    def attach(self, G: Generator, D: Discriminator) -> None:
        """Puts a dropout behind every activation.

        Raises:
            UserError: D has none.
        """
        found = [(name, layer) for name, layer in D.named_modules() if isinstance(layer, ACTIVATIONS)]
        if not found:
            raise UserError("reg=dropout finds no activation in D: leave it out or choose another model.")
        for name, layer in found:
            D.set_submodule(name, nn.Sequential(layer, nn.Dropout(self.p)))


class FreezeD(Regularizer):
    """The first layers of D keep the weights with which the training begins, those of another run
    with `init=DIR`. Mo et al. 2020.

    Only weights are frozen, as in the authors' code: batch normalisation among the first layers
    still takes the statistics of each batch, and the power iteration of spectral norm still moves.

    Args:
        layers: how many of D's convolutions, linear layers, blocks and attention layers, counted
            from the image, are frozen, with what stands before the next one. The authors freeze 3
            blocks of SNGAN's ResNet and 4 of StyleGAN's at 256 px.

    Raises:
        UserError: fewer than 1.
    """

    @checked
    def __init__(self, layers: Count = 2):
        super().__init__()
        self.layers = layers

    def check(self, G: Generator, D: Discriminator) -> None:
        """Freezes them, now that nobody replaces any weights.

        Raises:
            UserError: D is not of layers in a row, or has no more of them.
        """
        places = weighted_positions(D.body) if isinstance(D.body, Layers) else []
        if self.layers > len(places):
            raise UserError(
                f"reg.freeze_d.layers={self.layers} is more than the {len(places)} layers in a row that the body of "
                f"this D has: make it smaller, or choose another model."
            )
        end = [*places, len(D.body)][self.layers]
        for layer in list(D.body)[:end]:
            layer.requires_grad_(False)
