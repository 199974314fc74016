"""Tensors on disk: the first process that needs them computes them for all others."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from lit_gan.records.cache_folder import cache_folder
from lit_gan.records.files import Unwritable, replacing

log = logging.getLogger(__name__)

Value = dict[str, Tensor]
unwritten: dict[str, Value] = {}
"""What this process has computed and could not write, by the text of its key."""


def cached(key: dict, compute: Callable[[], Value], fits: Callable[[Value], bool]) -> Value:
    """What `compute` returns, from disk where some process has computed it before.

    One process computes while the others wait. Where a file is damaged, or was written by an older
    version with other parts, its value is computed again; what cannot be written is kept in this
    process's memory, after a warning.

    Args:
        key: everything that the value depends on; JSON must be able to write it.
        fits: tells whether a value from disk has the parts that it must have, each of the right
            shape.
    """
    text = json.dumps(key, sort_keys=True)
    if text in unwritten:
        return unwritten[text]
    with locked(f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.pt") as path:
        value = path and load_value(path, text, fits)
        if value is None:
            value = compute()
            if path is None or not save_value(path, text, value):
                unwritten[text] = value
    return value


@contextmanager
def locked(name: str) -> Iterator[Path | None]:
    """Holds the lock of a file in the cache folder and gives its path; None where it cannot be."""
    try:
        path = cache_folder() / name
        lock = FileLock(path.with_suffix(".lock"))
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        folder = error.filename or "~/.cache"
        log.warning(
            f"What is measured now is kept for this run alone, because {folder} cannot be written ({error.strerror}): "
            f"set LIT_GAN_CACHE to a folder of yours."
        )
        yield None
        return
    try:
        yield path
    finally:
        lock.release()


def load_value(path: Path, text: str, fits: Callable[[Value], bool]) -> Value | None:
    """The file's value; None if it is missing, damaged, about another key or has other parts."""
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["key"] == text and fits(content["value"]):
            return content["value"]
    except Exception as error:  # a damaged file makes torch.load raise nearly anything
        log.debug("%s: %r", path, error)
    log.warning(f"{path} is damaged or from another version, and computed again.")
    return None


def save_value(path: Path, text: str, value: Value) -> bool:
    """Writes the file, of which no process ever sees a part; False where it cannot be written."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save({"key": text, "value": value}, file)
    except Unwritable as error:
        log.warning(f"{path} was not cached ({error.__cause__}).")
        return False
    return True
