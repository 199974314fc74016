"""The spectral norms of D's layers over training."""

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.layers import singular_values
from lit_gan.records.curve_names import SPECTRAL_NORM


class Spectra(Callback):
    """Logs the largest singular value of D's convolutions and dense layers, as applied:
    `sigma/<layer>`.

    Miyato et al. 2018, Figure 9. At the start and after every epoch. Under spectral normalisation
    it is the exact norm of W / sigma_hat, which one power iteration puts at 1 or a little above.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs those of the initial weights, or of the weights that a resume starts from."""
        self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs them."""
        if trainer.is_global_zero:
            spectra = singular_values(pl_module.D)
            norms = {f"{SPECTRAL_NORM}{name}": sigma[0].item() for name, sigma in spectra.items()}
            for logger in trainer.loggers:
                logger.log_metrics(norms, step=trainer.global_step)
