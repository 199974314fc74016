"""What a command leaves on disk before it is known to be possible: nothing."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class RunLog(logging.FileHandler):
    """`train.log`. What is said before a run begins is written when it begins, and not at all if it is refused.

    Args:
        filename: of the file.
    """

    def __init__(self, filename: str):
        super().__init__(filename, encoding="utf-8", errors="backslashreplace", delay=True)
        self.waiting: list[logging.LogRecord] | None = []

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line, or keeps it for later."""
        if self.waiting is None:
            super().emit(record)
        else:
            self.waiting.append(record)

    def begin(self) -> None:
        """Writes what has been kept, and from now on every line at once."""
        waiting, self.waiting = self.waiting or [], None
        for record in waiting:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Loses the line on a full disk: a traceback would help nobody, and the next file of the run says it."""


def begin_log() -> None:
    """The run has begun: its log is written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RunLog):
            handler.begin()


class NewFolders(Callback):
    """Notes which folders Hydra is about to make for a single run."""

    made: ClassVar[list[Path]] = []

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Those of the output directory's path that do not exist."""
        NewFolders.made = missing(Path(config.hydra.run.dir).absolute())


@contextmanager
def leaving_nothing(directory: Path) -> Iterator[None]:
    """Removes, if the block fails before it has written a config, the empty folders and the lock made for it."""
    folder = directory / ".hydra"
    made, config = list(dict.fromkeys([*NewFolders.made, *missing(folder / "lock")])), version(folder / "config.yaml")
    try:
        yield
    except BaseException:
        if version(folder / "config.yaml") == config:
            remove_empty(made)
        raise


def version(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None if there is none."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def missing(path: Path) -> list[Path]:
    """A path and the folders above it that do not exist, outermost first."""
    return [each for each in (*reversed(path.parents), path) if not each.exists()]


def remove_empty(paths: list[Path]) -> None:
    """Removes empty files and folders, the innermost first; what holds anything stays."""
    for path in reversed(paths):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Removes, if the block fails, what it has put into a folder, and points its links to where they pointed before."""
    before = entries(folder)
    try:
        yield
    except BaseException:
        for path in entries(folder).keys() - before.keys():
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path, ignore_errors=True)
        for path, target in before.items():
            if target is not None and entries(folder).get(path) != target:
                path.unlink(missing_ok=True)
                path.symlink_to(target)
        raise


def entries(folder: Path) -> dict[Path, str | None]:
    """What lies in a folder and one level below it, and where the links among it point."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    return {path: os.readlink(path) if path.is_symlink() else None for path in paths}
