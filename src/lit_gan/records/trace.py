"""A command that is refused leaves nothing on disk: its log waits, and what was made for it is
removed."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lit_gan.records.layout import config_folder, config_path, results_path


class RunLog(logging.FileHandler):
    """`train.log`: lines from before a run begins are written when it begins, and not at all if it
    is refused."""

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
        """Loses the line on a full disk: a traceback would help nobody, and the run's next file
        names the reason."""


def begin_log() -> None:
    """Lets the log of a run that begins be written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RunLog):
            handler.begin()


def log_traceback(sentence: str, error: BaseException) -> None:
    """Writes what is said of an exception, and its traceback, into the log of the run and not on the screen."""
    record = logging.LogRecord(
        "lit_gan", logging.ERROR, "", 0, sentence, None, (type(error), error, error.__traceback__)
    )
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RunLog):
            handler.handle(record)


class NewFolders(Callback):
    """Notes where a command writes to, which record of an earlier run is there, and which folders
    Hydra is about to make for a single run."""

    made: ClassVar[list[Path]] = []
    output: ClassVar[Path | None] = None
    record: ClassVar[tuple[int, int] | None] = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Remembers the folders on the output directory's path that do not exist yet."""
        NewFolders.output = Path(config.hydra.run.dir).absolute()
        NewFolders.record = fingerprint(results_path(NewFolders.output))
        NewFolders.made = missing(NewFolders.output)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remembers the directory of the sweep, which has been planned."""
        NewFolders.output = Path(config.hydra.sweep.dir).absolute()


@contextmanager
def leaving_nothing(directory: Path) -> Iterator[None]:
    """Removes, if the block fails before it has written a config, the empty folders and the lock
    made for it."""
    folder = config_folder(directory)
    made = list(dict.fromkeys([*NewFolders.made, *missing(folder / "lock")]))
    before = fingerprint(config_path(directory))
    try:
        yield
    except BaseException:
        if fingerprint(config_path(directory)) == before:
            remove_empty(made)
        raise


def fingerprint(path: Path) -> tuple[int, int] | None:
    """The number and the time of a file, which change when it is replaced; None if there is no
    file."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def missing(path: Path) -> list[Path]:
    """A path and the folders above it that do not exist, outermost first."""
    return [each for each in (*reversed(path.parents), path) if not each.exists()]


def remove_empty(paths: list[Path]) -> None:
    """Removes files, and the folders that are empty then, the innermost first."""
    for path in reversed(paths):
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Removes, if the block fails, what it has put into a folder, and points its links to where
    they pointed before.

    W&B, for one, keeps a link to its latest run, which would lead to a run that was never begun.
    """
    before = links_below(folder)
    try:
        yield
    except BaseException:
        after = links_below(folder)
        for path in after.keys() - before.keys():
            remove(path)
        for path, target in before.items():
            if target is not None and after.get(path) != target:
                path.unlink(missing_ok=True)
                path.symlink_to(target)
        raise


def remove(path: Path) -> None:
    """Removes a file, a link or a whole folder."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def links_below(folder: Path) -> dict[Path, str | None]:
    """The paths in a folder and one level below it, each with its target if it is a link, else
    None."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    return {path: os.readlink(path) if path.is_symlink() else None for path in paths}
