"""Players that torch compiles while they train."""

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from lit_gan.module import GAN


class Compilation(Callback):
    """Compiles G and D when the training starts, on a GPU with CUDA graphs."""

    def on_fit_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Chooses by the device; torch compiles in the first calls."""
        from lit_gan.compilation import compile_calls, compiler_of  # torch's compiler is a second of imports

        torch.compiler.reset()  # or torch gives up after eight graphs, those of games before this one included
        for network in (pl_module.G, pl_module.D):
            compile_calls(network, **compiler_of(pl_module.device))

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, batch: Any, batch_idx: int) -> None:
        """Lets CUDA graphs use the memory of the last update again, and none within an update:
        gradients of both players may wait there for their steps."""
        if pl_module.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
