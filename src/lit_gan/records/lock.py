"""One process at a time in a run directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_gan.errors import UserError

TRAINING, CLAIM = "lock", "claim"
"""Held by the process that trains; and, from before that one is up, by the sweep that has begun it."""


class InUse(UserError):
    """Another process is at work in a run directory."""

    def __init__(self, directory: Path):
        super().__init__(
            f"{directory} is being trained by another process: wait for it, stop it, or choose another directory."
        )


@contextmanager
def sole_use(directory: Path, what: str = TRAINING) -> Iterator[None]:
    """Holds a run directory's lock, which the system takes back from a process that dies, however it dies.

    Of the processes of one training the first holds it for all.

    Raises:
        InUse: another process has it.
    """
    if getattr(rank_zero_only, "rank", 0) > 0:
        yield
        return
    lock = lock_of(directory, what)
    try:
        lock.acquire(timeout=1)  # somebody may just be asking whether it is held
    except Timeout as error:
        raise InUse(directory) from error
    try:
        yield
    finally:
        lock.release()


def check_free(directory: Path) -> None:
    """Refuses a directory in which a run is being trained, without taking or making the lock.

    Raises:
        InUse: another process is at work.
    """
    if is_held(directory, TRAINING):
        raise InUse(directory)


def in_use(directory: Path) -> bool:
    """Whether a living process trains in a run directory, or is about to."""
    return any(is_held(directory, what) for what in (CLAIM, TRAINING))


def is_held(directory: Path, what: str) -> bool:
    """Whether a lock is; not that of a directory where one may not write."""
    if not (directory / ".hydra" / what).exists():
        return False
    lock = lock_of(directory, what)
    try:
        lock.acquire()
        lock.release()
    except Timeout:
        return True
    except OSError:
        return False
    return False


def lock_of(directory: Path, what: str) -> FileLock:
    """A lock of a run directory, which does not wait."""
    folder = directory / ".hydra"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / what, timeout=0)
