"""The identity of a run: eight letters and digits, which W&B and the run's branches know it by."""

import functools
import uuid
from pathlib import Path

from lit_gan.records.layout import config_folder


def run_id_path(directory: Path) -> Path:
    """The file that holds a run's identity."""
    return config_folder(directory) / "run_id"


def recorded_run_id(directory: Path) -> str | None:
    """The identity of the run in a directory; None if it has not begun, or is from before there
    were identities."""
    path = run_id_path(directory)
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def run_id_of(directory: Path) -> str:
    """The identity of the run in a directory, which a resume keeps; a new one for a run that is
    about to begin."""
    return recorded_run_id(directory) or new_run_id(directory)


@functools.cache  # several settings of a config ask for it before the run has written it
def new_run_id(directory: Path) -> str:
    """A random identity for the run that is about to begin in a directory."""
    return uuid.uuid4().hex[:8]
