"""Samples at fixed latent vectors."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.figures.pictures import render
from lit_gan.ranges import Count, Seed, checked
from lit_gan.records.layout import samples_folder
from lit_gan.sampling import Sampler


class SampleGrid(Callback):
    """What G makes of the same latent vectors after every epoch: `samples/<update>.png`, and in the
    loggers.

    Images are a grid, points a plot, text is lines, `samples/<update>.txt`. Where G looks at
    labels, a row is a class, whose name stands beside it where it has one.

    Args:
        count: images in a grid, or lines.
        points: points in a plot.
        seed: decides the latent vectors.
    """

    @checked
    def __init__(self, count: Count = 64, points: Count = 512, seed: Seed = 0):
        self.count, self.points, self.seed = count, points, seed

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws and saves the grid."""
        if not trainer.is_global_zero:
            return
        update = trainer.global_step
        G = pl_module.generator(ema=True)
        samples, columns = Sampler(G, self.seed).grid(self.points if len(G.shape) == 1 else self.count)
        source = trainer.datamodule.source
        grid = render(source, samples, columns, columns and source.class_names)
        grid.save(samples_folder(Path(trainer.default_root_dir)) / f"{update:06d}")
        weights = "G" if G is pl_module.G else "the moving average of G"
        for logger in trainer.loggers:
            grid.log(logger, "samples", update, f"{weights} after {update} updates, {len(samples)} samples")
