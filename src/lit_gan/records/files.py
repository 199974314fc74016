"""Files that are replaced whole: a reader, a kill or a full disk never leaves half of one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lit_gan.errors import UserError

LEFTOVERS = ".*.part"
"""What a process that was killed in the middle of a write may leave beside the file."""


class Unwritable(UserError):
    """A file could not be written; what was there before is untouched."""

    @classmethod
    def of(cls, path: Path, reason: BaseException) -> "Unwritable":
        """The sentence that names the file and the reason."""
        why = getattr(reason, "strerror", None) or reason
        return cls(f"{path} cannot be written ({why}): make room for it, or change the permissions of its folder.")


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`; what the block writes there becomes `path` at its end, or nothing changes.

    Makes the folder. Nothing temporary stays behind if the block fails, whatever its error is.

    Args:
        durable: whether the content is on the disk itself before the old file goes, so that a power cut leaves one of
            the two. A thousand pictures that can be drawn again do without.

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
    """Removes a file that may not be there, in a folder that may not be there or not be writable."""
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
    """Replaces several files: all of them once the last one is written, or none.

    Raises:
        Unwritable: as `replacing`.
    """
    with ExitStack() as stack:
        for path, text in texts.items():
            temporary = stack.enter_context(replacing(path, durable=False))
            temporary.write_text(text, encoding="utf-8")
            flush(temporary)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed processes have left unfinished in a folder that nobody else is writing to."""
    for path in folder.glob(LEFTOVERS):
        discard(path)
