"""Small runs that a window can be opened on."""

import sys
from pathlib import Path

import pytest

from lit_gan.cli.launch import launch
from lit_gan.tasks.train import train

SMALL = ["data=digits", "data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "ema=0.5"]
SMALL += ["updates=4", "updates_per_epoch=2", "trainer.log_every_n_steps=1"]
SMALL += [f"protocol.{name}.{number}=16" for name in ("quick", "full") for number in ("generated", "inception_score")]
SMALL += [f"protocol.{name}.real=64" for name in ("quick", "full")]


def trained_run(directory: Path, *settings: str) -> Path:
    """The directory of a finished run of four updates on digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lit_gan.callbacks.curves_figure.save_training_curves", lambda *_: None)
        patch.setattr(sys, "argv", ["train", *SMALL, *settings, f"hydra.run.dir={directory}"])
        launch(train, "train")
    return directory
