"""Results on disk that outlive a process: computed by whoever needs them first, shared by all the others."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from lit_gan.files import Unwritable, replacing

log = logging.getLogger(__name__)


def directory() -> Path:
    """`$LIT_GAN_CACHE`, else `lit_gan` in `$XDG_CACHE_HOME`, else `~/.cache/lit_gan`."""
    if chosen := os.environ.get("LIT_GAN_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_gan"


def cached(key: dict, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `compute` returns, from disk where some process has computed it before.

    One process computes while the others wait. A damaged file is computed again; where nothing can be written,
    everything works as it would without a cache, after a warning.

    Args:
        key: everything that the result depends on, as JSON would write it.
    """
    text = json.dumps(key, sort_keys=True)
    path = directory() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.pt"
    with locked(path) as writable:
        value = read(path, text)
        if value is None:
            value = compute()
            if writable:
                write(path, text, value)
    return value


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds the file's lock; False where there can be none."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        log.warning(
            f"Nothing is cached, because {path.parent} cannot be written ({error.strerror}): set LIT_GAN_CACHE."
        )
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def read(path: Path, text: str) -> dict[str, Tensor] | None:
    """The file's value; None if it is missing, damaged or about another key."""
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["value"] if content["key"] == text else None
    except Exception:
        log.warning(f"{path} is damaged and computed again.")
        return None


def write(path: Path, text: str, value: dict[str, Tensor]) -> None:
    """Writes the file whole, so that no process ever sees half of it."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save({"key": text, "value": value}, file)
    except Unwritable as error:
        log.warning(f"{path} was not cached ({error.__cause__}).")
