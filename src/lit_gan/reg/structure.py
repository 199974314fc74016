"""Regularizers in the discriminator's structure: what fills the places that the networks keep for normalisation."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lit_gan.errors import UserError
from lit_gan.game import Discriminator, Generator, NormSlot, Regularizer


class Normalisation(Regularizer):
    """Fills D's normalisation slots.

    Args:
        gamma: whether the layers learn a multiplier. Miyato et al. 2018, section 4, leave it out, to bound the
            Lipschitz constant, and keep the additive beta.
    """

    def __init__(self, gamma: bool = False):
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
    """Batch normalisation of [b, c] and of [b, c, h, w] alike."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


class BatchNorm(Normalisation):
    """Batch normalisation in D, everywhere but after its first layer. Ioffe and Szegedy 2015; Radford et al. 2016."""

    def layer(self, channels: int) -> nn.Module:
        """Statistics over the batch, separately for real and generated images."""
        return AnyBatchNorm(channels)


class LayerNorm(Normalisation):
    """Layer normalisation in D: each sample over channels and positions together. Ba et al. 2016."""

    def layer(self, channels: int) -> nn.Module:
        """One group of all channels, with one beta a channel."""
        return nn.GroupNorm(1, channels)
