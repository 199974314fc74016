"""One process at a time in a run directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_gan.errors import UserError
from lit_gan.records.layout import config_folder

TRAINING = "lock"
"""The lock that the process that trains a run holds."""

CLAIM = "claim"
"""The lock that a sweep holds on a cell from before its process starts until after it has ended."""

SCORING = "scoring"
"""The lock that a process holds on a cell of a sweep while it scores its trained networks anew."""


class InUse(UserError):
    """Another process is at work in a run directory."""

    def __init__(self, directory: Path):
        super().__init__(
            f"{directory} is being trained by another process: wait for it, stop it, or choose another directory."
        )


@contextmanager
def sole_use(directory: Path, name: str = TRAINING) -> Iterator[None]:
    """Holds a lock of a run directory, which the system takes back from a process that dies,
    however it dies.

    Of the processes of one training the first holds it for all.

    Raises:
        InUse: another process has it.
    """
    if getattr(rank_zero_only, "rank", 0) > 0:
        yield
        return
    lock = lock_of(directory, name)
    try:
        lock.acquire(timeout=1)  # `is_held` takes a lock for an instant, which must not look like a training
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
    return any(is_held(directory, name) for name in (CLAIM, TRAINING))


def is_held(directory: Path, name: str) -> bool:
    """Whether another process holds a lock of a run directory; False where this process may not
    write."""
    # `flock` tells who holds a lock only by taking it, and taking it would make the file where there is none
    if not (config_folder(directory) / name).exists():
        return False
    lock = lock_of(directory, name)
    try:
        lock.acquire()
        lock.release()
    except Timeout:
        return True
    except OSError:
        return False
    return False


def lock_of(directory: Path, name: str) -> FileLock:
    """A lock of a run directory that does not wait if it is held."""
    folder = config_folder(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / name, timeout=0)
