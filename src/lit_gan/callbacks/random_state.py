"""The random numbers of training survive a resume."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RandomState(Callback):
    """Saves torch's random state with every checkpoint and restores it when training starts.

    On the CPU and on one GPU a resumed run so draws what the uninterrupted one would have. With
    several processes each draws from its own seed, and a resumed run draws other numbers. So does a
    branch with another seed than its parent's.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.saved: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The states of the CPU and of the present GPU, NVIDIA's or Apple's, and the seed that they come
        from."""
        gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
        return {"cpu": torch.get_rng_state(), "gpu": gpu, "mps": mps, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the states of a checkpoint until training starts."""
        self.saved = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the states, or seeds each of several processes, or a branch with a seed of its own,
        with a number of its own."""
        if trainer.world_size > 1 or self.saved.get("seed", self.seed) != self.seed:
            torch.manual_seed(mixed(self.seed, trainer.global_rank, trainer.global_step))
        elif self.saved:
            torch.set_rng_state(self.saved["cpu"].cpu())
            if self.saved["gpu"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(self.saved["gpu"].cpu())
            if self.saved.get("mps") is not None and torch.backends.mps.is_available():
                torch.mps.set_rng_state(self.saved["mps"].cpu())


def mixed(*numbers: int) -> int:
    """A seed for these numbers together, unlike that of any others: sums would give the second process
    of one run the stream of the first process of the run with the next seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
