"""Sample grids at fixed latent vectors."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from lit_gan.pictures import picture, save_picture
from lit_gan.sampling import Sampler


class SampleGrid(Callback):
    """The same `count` latent vectors as images after every epoch: `samples/<update>.png`, and in the loggers.

    Args:
        count: samples in a grid.
        seed: of the latent vectors.
    """

    def __init__(self, count: int = 64, seed: int = 0):
        self.count, self.seed = count, seed

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws and saves the grid."""
        if not trainer.is_global_zero:
            return
        update = trainer.global_step
        samples = Sampler(pl_module.sampler(ema=True), self.seed)(self.count)
        image = picture(samples)
        save_picture(image, Path(trainer.default_root_dir) / "samples" / f"{update:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [image.numpy()], step=update)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", image, update, dataformats="HWC")
