"""The spectral norms of D's layers over training."""

import copy

import torch
from jaxtyping import Float
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_gan.game import Discriminator
from lit_gan.layers import as_matrix, out_axis, weight_layers

PREFIX = "sigma/"
"""What the names of the logged values begin with."""


class Spectra(Callback):
    """Logs the largest singular value of D's convolutions and dense layers, as applied: `sigma/<layer>`.

    Miyato et al. 2018, Figure 9. At the start and after every epoch. Under spectral normalisation it is the exact norm
    of W / sigma_hat, which one power iteration puts at 1 or a little above.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Those of the initial weights, or of the weights that a resume starts from."""
        self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs them."""
        if trainer.is_global_zero:
            norms = {f"{PREFIX}{name}": sigma[0].item() for name, sigma in singular_values(pl_module.D).items()}
            for logger in trainer.loggers:
                logger.log_metrics(norms, step=trainer.global_step)


@torch.no_grad()
def singular_values(D: Discriminator) -> dict[str, Float[Tensor, " r"]]:
    """Singular values of every layer of D, the largest first, on the CPU, by the layers' names.

    Of a copy in eval mode: in training, reading a spectrally normalised weight moves its singular vectors.
    """
    D = copy.deepcopy(D).eval()
    matrices = {name: as_matrix(layer.weight, out_axis(layer)) for name, layer in weight_layers(D)}
    return {name: torch.linalg.svdvals(matrix.double()).cpu() for name, matrix in matrices.items()}
