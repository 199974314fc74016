"""Files that are replaced whole, and read with one sentence for a damaged one.

A reader, a kill or a full disk never meets or leaves half a file.
"""

import json
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import UserError, one_line

LEFTOVERS = ".*.part"
"""Files that a process leaves beside their targets if it is killed in the middle of a write."""


class Unwritable(UserError):
    """A file could not be written; what was there before is untouched."""

    @classmethod
    def of(cls, path: Path, reason: BaseException) -> "Unwritable":
        """The sentence that names the file and the reason."""
        why = getattr(reason, "strerror", None) or reason
        return cls(f"{path} cannot be written ({why}): make room for it, or change the permissions of its folder.")


class Damaged(UserError):
    """A file does not hold what a run writes into it.

    Args:
        path: of the file.
        reason: what is wrong with it.
        remedy: what the user can do, the end of the sentence.
    """

    def __init__(self, path: Path, reason: object, remedy: str):
        super().__init__(f"{path} is damaged ({reason}): {remedy}.")


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; what the block writes there becomes `path` at its end, or
    nothing changes.

    The folder is made if it is missing. Nothing temporary stays behind if the block fails, whatever
    its error is.

    Args:
        durable: whether the content is on the disk itself before the old file goes, so that a power
            cut leaves one of the two. A thousand pictures that can be drawn again do without.

    Raises:
        Unwritable: the folder or the file cannot be written, on a full disk for one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            flush(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # torch's writer answers the disk's error with one of its own
        reason = error if isinstance(error, OSError) else error.__context__ or error
        raise Unwritable.of(path, reason) from error
    finally:
        discard(temporary)


def flush(path: Path) -> None:
    """Waits until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def discard(path: Path) -> None:
    """Removes a file that may not be there, in a folder that may not be there or not be
    writable."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the reason is already on its way to the user
        return


def write_text(path: Path, text: str) -> None:
    """Replaces a file by one that holds `text`, in UTF-8.

    Raises:
        Unwritable: as `replacing`.
    """
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Replaces several files by ones that hold texts, in UTF-8: all of them, or none.

    Raises:
        Unwritable: as `replacing`.
    """
    write_contents({path: text.encode() for path, text in texts.items()})


def write_contents(contents: Mapping[Path, bytes]) -> None:
    """Replaces several files: all of them once the last one is written, or none.

    Raises:
        Unwritable: as `replacing`.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            temporary = stack.enter_context(replacing(path, durable=False))
            temporary.write_bytes(content)
            flush(temporary)


class Unreadable(UserError):
    """A folder cannot be listed."""

    @classmethod
    def of(cls, reason: OSError, setting: str = "") -> "Unreadable":
        """The sentence that names the folder, the reason and, if there is one, the setting."""
        where = f"{setting}: {reason.filename}" if setting else reason.filename
        return cls(
            f"{where} cannot be read ({reason.strerror}): change the permissions of that folder, or move it elsewhere."
        )


def walk_readable(
    folder: Path, setting: str = "", followlinks: bool = False
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, which by itself passes over folders that it cannot read.

    What is no folder, or is removed meanwhile, is passed over, and so is the `lost+found` of a disk.

    Args:
        setting: what the sentence names beside such a folder, `data.root`.

    Raises:
        Unreadable: names the folder.
    """

    def refuse(error: OSError) -> None:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        if not absent and Path(error.filename).name != "lost+found":
            raise Unreadable.of(error, setting) from error

    yield from os.walk(folder, onerror=refuse, followlinks=followlinks)


def check_readable(folder: Path, setting: str = "") -> None:
    """Refuses a folder that cannot be listed; one that is not there is left to others.

    Raises:
        Unreadable: names it.
    """
    next(walk_readable(folder, setting), None)


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of killed processes from a folder to which nobody else is
    writing."""
    for path in folder.glob(LEFTOVERS):
        discard(path)


def read_json(path: Path, keys: Set[str], remedy: str) -> dict[str, Any]:
    """The content of a JSON file, an object with at least the given keys.

    Args:
        remedy: what the user can do about a damaged file, the end of the sentence.

    Raises:
        Damaged: the file cannot be read, or a key is missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Damaged(path, error, remedy) from error
    if not isinstance(content, dict) or not content.keys() >= keys:
        raise Damaged(path, "parts are missing", remedy)
    return content


def read_yaml(path: Path, kind: type[DictConfig] | type[ListConfig]) -> DictConfig | ListConfig:
    """The content of a YAML file that a run wrote: keys with their values, or a list.

    Raises:
        Damaged: the file cannot be read, or holds something of another kind.
    """
    try:
        content = OmegaConf.create(path.read_text(encoding="utf-8"))
        if isinstance(content, kind):
            return content
        reason = "it is not what a run writes"
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, AssertionError) as error:
        reason = one_line(str(error)) or "it holds a single value"
    raise Damaged(path, reason, "restore it, or start a new run")
