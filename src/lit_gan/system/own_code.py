"""Where an exception comes from: code of the user's own, or lit_gan and what is installed."""

import importlib
import traceback
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages", "lib-dynload")
"""Names of folders of installed packages."""

STANDARD_LIBRARY = Path(importlib.__file__).parent.parent

PACKAGE = Path(__file__).parent.parent


def faulty_line(error: BaseException) -> str | None:
    """The line of one's own code that raised an exception or called what did, "my_losses.py, line 12".

    None where it was raised by lit_gan, or by a package that lit_gan had called.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_installed(Path(frame.filename))]
    if not frames or Path(frames[-1].filename).is_relative_to(PACKAGE):
        return None
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"


def is_installed(file: Path) -> bool:
    """Whether a file is part of Python or of an installed package other than lit_gan, or is none at all, as
    what a program has made up."""
    if file.is_relative_to(PACKAGE):
        return False
    return bool({*INSTALLED} & {*file.parts}) or file.is_relative_to(STANDARD_LIBRARY) or not file.is_file()
