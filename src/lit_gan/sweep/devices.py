"""The GPU that a cell is given where there are several."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig


@contextmanager
def free_device(trainer: DictConfig) -> Iterator[dict[str, str]]:
    """The environment that gives a cell the GPU with the fewest cells on it; empty if there is no
    choice to make.

    Args:
        trainer: the cell's settings for Lightning; a cell that asks for several devices gets all.
    """
    devices = visible_devices() if trainer.accelerator in ("auto", "gpu", "cuda") and trainer.devices == 1 else []
    if len(devices) < 2:
        yield {}
        return
    lock, device = take_device(devices)
    try:
        yield {"CUDA_VISIBLE_DEVICES": device}
    finally:
        lock.release()


def visible_devices() -> list[str]:
    """The GPUs of this process, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch  # late: a sweep whose cells train on the CPU never needs it

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]


def take_device(devices: list[str]) -> tuple[FileLock, str]:
    """The device with the fewest cells on it, and the lock that counts one more.

    Each device has a first place, a second, and so on, each of which is a lock; every device's
    first place is tried before any second one. The system frees the place of a process that dies.
    """
    folder = Path(tempfile.gettempdir()) / f"lit_gan-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for row in count():
        for device in devices:
            lock = FileLock(folder / f"gpu-{device.replace('/', '_')}-{row}.lock", blocking=False)
            try:
                lock.acquire()
                return lock, device
            except Timeout:
                continue
    raise AssertionError("unreachable")
