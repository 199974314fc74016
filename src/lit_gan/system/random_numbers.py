"""Torch's own random numbers, whichever device draws them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keeping_random_state(device: torch.device | str) -> Iterator[None]:
    """Leaves torch's random numbers of the CPU and of a device as they were before the block, which
    may seed them."""
    kind = torch.device(device).type
    with torch.random.fork_rng(devices=[device] if kind == "cuda" else []):
        state = torch.mps.get_rng_state() if kind == "mps" else None  # a seed of the CPU's is one of Apple's, too
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)
