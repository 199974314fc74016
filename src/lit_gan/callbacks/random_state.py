"""The random numbers of training survive a resume."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_gan.system.processes import from_each


class RandomState(Callback):
    """Saves torch's random state with every checkpoint and restores it when training starts.

    A resumed run so draws what the uninterrupted one would have. With several processes each draws
    from its own seed, and the checkpoint holds the states of all. A resume in another number of
    processes than before draws other numbers, and so does a branch with another seed than its
    parent's.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.saved: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The states of the CPU and of the present GPU, NVIDIA's or Apple's, those of the first process
        and then those of the others, and the seed that they come from; all processes must call."""
        gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
        first, *others = from_each({"cpu": torch.get_rng_state(), "gpu": gpu, "mps": mps})
        return first | {"seed": self.seed} | ({"others": others} if others else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the states of a checkpoint until training starts."""
        self.saved = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the states, or seeds each of several processes that have none, or a branch with a seed
        of its own, with a number of its own."""
        states = [self.saved, *self.saved.get("others", ())]
        without = trainer.world_size > 1 and trainer.world_size != len(states)
        if without or self.saved.get("seed", self.seed) != self.seed:
            torch.manual_seed(mixed(self.seed, trainer.global_rank, trainer.global_step))
        elif self.saved:
            restore(states[trainer.global_rank])


def restore(state: dict[str, Any]) -> None:
    """Puts torch's random numbers where one process had them."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["gpu"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["gpu"].cpu())
    if state.get("mps") is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())


def mixed(*numbers: int) -> int:
    """A seed for these numbers together, unlike that of any others: sums would give the second process
    of one run the stream of the first process of the run with the next seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
